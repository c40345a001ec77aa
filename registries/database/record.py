"""A row of our own registry: an instance as columns and one JSON text, and how both are bounded."""

from typing import Final

import msgspec

from pilot_plus.model import NO_ORIGIN, NOWHERE, ORDINARY_WEIGHT, Health, Instance, Locality, Origin, Port, instance
from registries.layouts.quoting import quoter

MAX_KEY: Final = 1500
"""Characters: PostgreSQL's index can hold no more than 2,700 bytes."""
MAX_PORTS: Final = 64
MAX_METADATA: Final = 128
MAX_RECORD: Final = 65536
"""Bytes of the JSON text."""
MAX_LEASE: Final = 86400.0
_quoted: Final = quoter(":@!$&'()*+,;=~. ")


class Row(msgspec.Struct, frozen=True, array_like=True):
    """An instance as it lies in the table `registry_instances`."""

    key: str
    namespace: str
    name: str
    id: str
    lease: float
    copied: int
    record: str


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON text. Unknown fields are ignored: a newer version may have written it."""

    address: str
    ports: tuple[Port, ...]
    health: Health = Health.PASSING
    weight: int = ORDINARY_WEIGHT
    locality: Locality = NOWHERE
    metadata: dict[str, str] = {}
    zone: str = ""
    origin: Origin = NO_ORIGIN


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Record)


def key_of(namespace: str, name: str, id: str) -> str:  # noqa: A002 - the field's name
    """The key of an instance, `namespace/name/id`, each part percent-encoded so that no two instances share one.

    Raises:
        ValueError: a part can't be encoded, or the whole is too long.
    """
    key = f"{_quoted(namespace)}/{_quoted(name)}/{_quoted(id)}"
    if len(key) > MAX_KEY:
        raise ValueError(f"namespace, name and id have {len(key)} characters (encoded), more than {MAX_KEY}")
    return key


def encode(given: Instance) -> Row:
    """The row of an instance; a zone is kept only where a copy brings it.

    Raises:
        ValueError: it is out of bounds, and how.
    """
    checked = _checked(given)
    copied = checked.origin != NO_ORIGIN
    record = _encoder.encode(
        Record(
            address=checked.address,
            ports=checked.ports,
            health=checked.health,
            weight=checked.weight,
            locality=checked.locality,
            metadata=dict(checked.metadata),
            zone=checked.zone if copied else "",
            origin=checked.origin,
        )
    )
    if len(record) > MAX_RECORD:
        raise ValueError(f"the record has {len(record)} bytes, more than {MAX_RECORD}")
    return Row(
        checked.key, checked.namespace, checked.name, checked.id, checked.lease, int(copied), record.decode("utf-8")
    )


def _checked(given: Instance) -> Instance:
    if not given.namespace:
        raise ValueError("the service has no namespace")
    if not given.id:
        raise ValueError("the instance has no id")
    if len(given.ports) > MAX_PORTS:
        raise ValueError(f"{len(given.ports)} ports are more than {MAX_PORTS}")
    if len(given.metadata) > MAX_METADATA:
        raise ValueError(f"{len(given.metadata)} metadata entries are more than {MAX_METADATA}")
    return instance(
        key=key_of(given.namespace, given.name, given.id),
        namespace=given.namespace,
        name=given.name,
        id=given.id,
        address=given.address,
        ports=given.ports,
        health=given.health,
        weight=given.weight,
        locality=given.locality,
        zone=given.zone,
        metadata=given.metadata,
        origin=given.origin,
        lease=_checked_lease(given.lease),
    )


def _checked_lease(lease: float) -> float:
    if lease == 0 or 1 <= lease <= MAX_LEASE:
        return float(lease)
    raise ValueError(f"a lease of {lease:g} s is neither 0 (durable) nor between 1 s and 24 h")


def decode(row: Row) -> Instance:
    """The instance of a row, whoever wrote it.

    Raises:
        ValueError: it can't be used, and why.
    """
    if row.key != key_of(row.namespace, row.name, row.id):
        raise ValueError("its key is not that of its namespace, name and id")
    try:
        record = _decoder.decode(row.record)
    except UnicodeError as error:
        raise ValueError("its record is no UTF-8") from error
    except RecursionError as error:
        raise ValueError("its record is nested too deeply") from error
    return instance(
        key=row.key,
        namespace=row.namespace,
        name=row.name,
        id=row.id,
        address=record.address,
        ports=record.ports,
        health=record.health,
        weight=record.weight,
        locality=record.locality,
        zone=record.zone,
        metadata=record.metadata,
        origin=record.origin,
        lease=_checked_lease(row.lease),
    )


def row_of(values: object) -> Row:
    """A row as the database returned it: SQLite holds any type in any column.

    Raises:
        ValueError: a column holds another type, or the record was left behind because of its size.
    """
    try:
        return msgspec.convert(values, Row)
    except msgspec.ValidationError as error:
        raise ValueError(f"its columns can't be read (a record may have {MAX_RECORD} bytes): {error}") from error
