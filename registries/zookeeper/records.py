"""What the nodes of a tree say together: a pure state machine from nodes to updates.

One node is one record, but not every change of a node is one of the catalog:

- Dubbo's record is its node's name, so a changed weight is a *new node*; for a while both are there. Nodes with one
  key are one record: the newest speaks, and it is gone when the last of them is.
- Rules (configurators, mappings) change what other nodes say; those are said again.
- A directory without instances is a service without instances, and says so only while it has none.

    put("/dubbo/a.B/providers/dubbo…weight=1")   -> Put(weight 1)
    put("/dubbo/a.B/providers/dubbo…weight=2")   -> Put(weight 2)
    remove("/dubbo/a.B/providers/dubbo…weight=1")-> nothing: it was no longer heard
    remove("/dubbo/a.B/providers/dubbo…weight=2")-> Put(service a.B), Drop(key)
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import msgspec

from pilot_plus.model import Drop, Instance, Put, Service, Skipped
from registries.layouts.dubbo_rules import Aliases, Override, Rule, overridden
from registries.layouts.layout import Raw
from registries.layouts.tree import Place, Ruled, TreeLayout

_STRENGTH = (Place.DATA, Place.RULE, Place.NAME, Place.DIRECTORY)


class _Directory:
    """A directory of records: the service that it stands for once its node is known, what lies in it, its rules."""

    __slots__ = ("keys", "others", "overrides", "service")

    def __init__(self) -> None:
        self.service: Service | None = None
        self.keys: set[str] = set()
        self.others = 0  # further directories, and records that belong to somebody else
        self.overrides: dict[str, Override] = {}

    @property
    def is_empty(self) -> bool:
        return self.service is None and not self.keys and not self.others and not self.overrides


class _Version(msgspec.Struct, frozen=True, gc=False):
    """What one node says of a record; the highest `order` is the newest."""

    order: int
    node: bytes
    instance: Instance
    directory: str


class _Record:
    """All nodes with one key, and what was last said of them."""

    __slots__ = ("shown", "versions")

    def __init__(self) -> None:
        self.versions: tuple[_Version, ...] = ()
        self.shown: Instance | None = None


class Records:
    """The state; `layouts` in the order in which they are asked about a node."""

    def __init__(self, layouts: Sequence[TreeLayout]) -> None:
        """Begin with nothing."""
        self._layouts = layouts
        self._foreign = f"no configured layout reads it ({', '.join(layout.name for layout in layouts)})"
        self._directories: dict[str, _Directory] = {}
        self._records: dict[str, _Record] = {}
        self._keys: dict[bytes, str] = {}
        self._rules: dict[str, Rule] = {}
        self._aliases: defaultdict[str, set[str]] = defaultdict(set)
        self._unread: dict[str, str] = {}
        self._shown: dict[str, Service] = {}
        self._touched: OrderedDict[str, None] = OrderedDict()  # taken from its front, which a dict makes slow
        self._touched_directories: OrderedDict[str, None] = OrderedDict()
        self._skips: dict[str, str] = {}

    def place(self, path: str) -> Place:
        """What a node is to the layouts together: whoever wants most of it decides."""
        places = {layout.place(path) for layout in self._layouts}
        return next((place for place in _STRENGTH if place in places), Place.ELSEWHERE)

    def put(self, path: str, data: bytes, order: int) -> str:
        """A node is there; return the key of the record that it speaks for, or empty."""
        raw, place = Raw(path, data), self.place(path)
        try:
            if place is Place.DIRECTORY:
                self._put_directory(raw)
            elif place is Place.RULE:
                self._put_rule(path, self._rule_of(raw))
            elif place is Place.NAME or place is Place.DATA:
                instance = self._instance_of(raw)
                if instance is not None:
                    return self._put_instance(path, instance, order)
                self._forget(path)
                if place is Place.DATA:
                    self._put_foreign(path)
                    return ""
        except ValueError as error:
            self._forget(path)
            self._skip(path, str(error))
        else:
            self._skip(path, "")
        return ""

    def is_contested(self, key: str) -> bool:
        """Say whether several nodes speak for one record."""
        return len(self._records[key].versions) > 1

    def remove(self, path: str) -> None:
        """A node is gone."""
        self._forget(path)
        self._skip(path, "")
        if (directory := self._directories.get(path)) is not None and directory.service is not None:
            directory.service = None
            self._touch_directory(path)
            self._count(path.rpartition("/")[0], -1)

    def updates(self) -> Iterator[Put | Drop | Skipped]:
        """What has changed since the last time: what is new before what is gone."""
        drops: list[Drop] = []
        while self._touched:
            key, _ = self._touched.popitem(last=False)
            yield from self._say_record(key, drops)
        while self._touched_directories:
            path, _ = self._touched_directories.popitem(last=False)
            yield from self._say_service(path, drops)
        yield from drops
        skips, self._skips = self._skips, {}
        yield from (Skipped(place, reason) for place, reason in skips.items())

    def _say_record(self, key: str, drops: list[Drop]) -> Iterator[Put]:
        record = self._records[key]
        if not record.versions:
            del self._records[key]
            if record.shown is not None:
                drops.append(Drop(key))
            return
        newest = max(record.versions, key=lambda version: (version.order, version.node))
        overrides = self._directories[newest.directory].overrides
        now = overridden(newest.instance, overrides.values()) if overrides else newest.instance
        if now != record.shown:
            record.shown = now
            yield Put(now)

    def _say_service(self, path: str, drops: list[Drop]) -> Iterator[Put]:
        directory = self._directories[path]
        now = directory.service
        if now is not None:
            aliases = tuple(sorted(self._aliases.get(now.key, set()) - {now.name}))
            if aliases:
                now = msgspec.structs.replace(now, aliases=aliases)
            elif directory.keys or directory.others:
                now = None
        before = self._shown.pop(path, None)
        if now is not None:
            self._shown[path] = now
            if now != before:
                yield Put(now)
        elif before is not None:
            drops.append(Drop(before.key))
        if directory.is_empty:
            del self._directories[path]

    def _instance_of(self, raw: Raw) -> Instance | None:
        for layout in self._layouts:
            if layout.place(raw.path) in (Place.NAME, Place.DATA):
                for record in layout.decode(raw):
                    if isinstance(record, Instance):
                        return record
        return None

    def _put_foreign(self, path: str) -> None:
        self._count(path.rpartition("/")[0], +1)
        self._skip(path, self._foreign)

    def _put_instance(self, path: str, instance: Instance, order: int) -> str:
        node, key, parent = _digest(path), instance.key, path.rpartition("/")[0]
        if self._keys.get(node) != key:
            self._forget(path)
        self._skip(path, "")
        record = self._records.setdefault(key, _Record())
        key = next((version.instance.key for version in record.versions), key)  # one text for all its nodes
        others = tuple(version for version in record.versions if version.node != node)
        record.versions = (*others, _Version(order, node, instance, parent))
        self._keys[node] = key
        self._directory(parent).keys.add(key)
        self._touched[key] = None
        self._touch_directory(parent)
        return key

    def _forget(self, path: str) -> None:
        """Take back whatever a node has said."""
        parent = path.rpartition("/")[0]
        if self._unread.get(path) == self._foreign:
            self._count(parent, -1)
        if path in self._rules:
            self._put_rule(path, None)
        node = _digest(path)
        key = self._keys.pop(node, None)
        if key is not None:
            record = self._records[key]
            record.versions = tuple(version for version in record.versions if version.node != node)
            if all(version.directory != parent for version in record.versions):
                self._directory(parent).keys.discard(key)
            self._touched[key] = None
            self._touch_directory(parent)

    def _put_directory(self, raw: Raw) -> None:
        for layout in self._layouts:
            for record in layout.decode(raw):
                if isinstance(record, Service):
                    directory = self._directory(raw.path)
                    if directory.service is None:
                        self._count(raw.path.rpartition("/")[0], +1)
                    directory.service = record
                    self._touch_directory(raw.path)
                    return

    def _rule_of(self, raw: Raw) -> Rule | None:
        for layout in self._layouts:
            if isinstance(layout, Ruled) and layout.place(raw.path) is Place.RULE:
                return layout.rule(raw)
        return None

    def _put_rule(self, path: str, rule: Rule | None) -> None:
        """Put a rule in the place of the one that stood there, or take it back, and say again what it concerns."""
        before = self._rules.pop(path, None)
        if rule is not None:
            self._rules[path] = rule
        for one, is_there in ((before, False), (rule, True)):
            if isinstance(one, Override):
                self._put_override(path, one if is_there else None)
            elif isinstance(one, Aliases):
                self._put_aliases(one, is_there=is_there)

    def _put_override(self, path: str, override: Override | None) -> None:
        providers = path.rpartition("/")[0].rpartition("/")[0] + "/providers"
        directory = self._directory(providers)
        directory.overrides.pop(path, None)
        if override is not None:
            directory.overrides[path] = override
        self._touched.update(dict.fromkeys(directory.keys))
        self._touch_directory(providers)

    def _put_aliases(self, aliases: Aliases, *, is_there: bool) -> None:
        for key in aliases.services:
            if is_there:
                self._aliases[key].add(aliases.alias)
            else:
                self._aliases[key].discard(aliases.alias)
            if not self._aliases[key]:
                del self._aliases[key]
            if key in self._directories:
                self._touch_directory(key)

    def _skip(self, path: str, reason: str) -> None:
        if self._unread.get(path, "") == reason:
            return
        if reason:
            self._unread[path] = reason
        else:
            del self._unread[path]
        self._skips[path] = reason

    def _count(self, path: str, change: int) -> None:
        self._directory(path).others += change
        self._touch_directory(path)

    def _directory(self, path: str) -> _Directory:
        return self._directories.setdefault(path, _Directory())

    def _touch_directory(self, path: str) -> None:
        self._touched_directories[path] = None


def _digest(path: str) -> bytes:
    """A node's identity in 16 bytes: names have some hundreds, and there may be hundreds of thousands."""
    return blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()
