"""What the tests of etcd's layouts share: a record as text, hostile ones, and instances to write."""

from collections.abc import Mapping

import msgspec
from hypothesis import strategies as st

from pilot_plus.model import Health, Instance, Origin, Port, Service, instance
from registries.layouts.layout import Layout, Raw


def one(layout: Layout, path: str, data: str | bytes) -> Instance:
    """The one instance that a record says."""
    (said,) = layout.decode(Raw(path, data.encode() if isinstance(data, str) else data))
    assert isinstance(said, Instance)
    return said


def is_canonical(layout: Layout, raw: Raw) -> bool:
    """Decode whatever it is: instances, services or a reason, and never anything else."""
    try:
        said = layout.decode(raw)
    except ValueError as error:
        return bool(str(error))
    keys = [record.key for record in said]
    return len(set(keys)) == len(keys) and all(isinstance(record, Instance | Service) for record in said)


_HOSTILE = ("..", "../x", "a/b", "a//b", "\n", "\0", "é", "#", "%2f", "[::1]:80", "10.0.0.1:70000", "x" * 5000)
_words = st.text(max_size=20) | st.sampled_from(_HOSTILE)
_jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=12,
)


def records_of(fields: Mapping[str, st.SearchStrategy[object]], root: str) -> st.SearchStrategy[Raw]:
    """Records with some of the layout's own fields, right or wrong, under keys right or wrong."""
    right_or_wrong = {name: strategy | _jsons for name, strategy in fields.items()}
    shaped = st.fixed_dictionaries({}, optional=right_or_wrong).map(_as_json)
    data = (
        shaped
        | _jsons.map(_as_json)
        | st.binary(max_size=100)
        | _words.map(lambda text: text.encode("utf-8", "replace"))
    )
    paths = st.lists(_words | st.sampled_from(["orders", "10.2.0.1:9000", "1"]), max_size=4).map("/".join)
    return st.builds(Raw, paths.map(lambda path: root + path), data)


def _as_json(value: object) -> bytes:
    return msgspec.json.encode(value)


_label = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
names = st.lists(_label, min_size=1, max_size=3).map(".".join)
_addresses = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(str) | names
_texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp", "Zs", "Co", "Cf")))
_metadata = st.dictionaries(_label, st.text(st.characters(codec="utf-8"), max_size=20), max_size=4)
_origins = st.builds(
    Origin, cluster=_label, registry=_label, id=_texts.filter(bool), hops=st.tuples() | st.tuples(_label)
)


@st.composite
def instances(draw: st.DrawFn, *, protocols: tuple[str, ...], ports: int = 1) -> Instance:
    """Instances that a layout can hold as far as it can; `protocols` are those of its readers."""
    spoken = draw(st.lists(st.sampled_from(protocols), min_size=1, max_size=ports, unique=True))
    numbers = st.integers(1, 65535)
    is_copy = draw(st.booleans())
    return instance(
        key="",
        name=draw(names),
        id=draw(_texts.map(lambda text: text[:40]).filter(lambda text: text not in ("", ".", ".."))),
        address=draw(_addresses),
        ports=[Port(protocol, draw(numbers), protocol) for protocol in spoken],
        health=Health.PASSING,
        weight=draw(st.just(100) | st.integers(1, 1_000_000)),
        metadata={name: text for name, text in draw(_metadata).items() if name not in RESERVED},
        origin=draw(_origins) if is_copy else Origin(),
        zone="east/legacy" if is_copy else "",
    )


RESERVED = frozenset({"weight", "version", "protocol"})
"""Metadata names that layouts have a field of their own for, as their docstrings say."""
