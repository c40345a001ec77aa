"""What we ask of ZooKeeper, as its protocol has it; kazoo sends anything that has a `type` and can `serialize`.

None of them has a field named `watcher`: kazoo would register it as a watch of its own, once for each.
(apache/zookeeper: `zookeeper.jute`, `ZooDefs.OpCode`.)
"""

from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeAlias, TypeVar

import msgspec
from kazoo.protocol import serialization as jute
from kazoo.protocol.states import ZnodeStat
from kazoo.security import OPEN_ACL_UNSAFE

T_co = TypeVar("T_co", covariant=True)


class Request(Protocol, Generic[T_co]):
    """A request and the type of its answer."""

    type: ClassVar[int]

    @property
    def path(self) -> str:
        """What it is about."""
        ...

    def below(self, prefix: str) -> "Request[T_co]":
        """The same about the path below another."""
        ...

    def serialize(self) -> bytes:
        """Everything behind the header."""
        ...

    def deserialize(self, data: bytes, offset: int) -> T_co:
        """Read the answer."""
        ...


class Node(NamedTuple):
    """A node's data and what ZooKeeper knows of it."""

    data: bytes
    stat: ZnodeStat


class _OfPath(msgspec.Struct, frozen=True):
    """A request about a path; `watch` asks to be told of the next change, once."""

    path: str
    watch: bool = False

    def below(self, prefix: str) -> Self:
        """The same about the path below another."""
        return msgspec.structs.replace(self, path=prefixed(prefix, self.path))

    def serialize(self) -> bytes:
        """The path, and whether to watch."""
        return bytes(jute.write_string(self.path)) + (b"\x01" if self.watch else b"\x00")


class Children(_OfPath, frozen=True):
    """The names below a node."""

    type: ClassVar[int] = 8

    def deserialize(self, data: bytes, offset: int) -> list[str]:
        """The names."""
        return list(jute.GetChildren.deserialize(data, offset))


class Data(_OfPath, frozen=True):
    """A node's data."""

    type: ClassVar[int] = 4

    def deserialize(self, data: bytes, offset: int) -> Node:
        """The data; empty where it is null."""
        content, stat = jute.GetData.deserialize(data, offset)
        return Node(bytes(content or b""), stat)


class Stat(_OfPath, frozen=True):
    """What ZooKeeper knows of a node. A watch on a node that isn't there tells when it is created."""

    type: ClassVar[int] = 3

    def deserialize(self, data: bytes, offset: int) -> ZnodeStat:
        """The node's state."""
        return jute.Exists.deserialize(data, offset)


class AddWatch(msgspec.Struct, frozen=True):
    """A persistent recursive watch: every change at and below a path, until the connection ends. Servers from 3.6."""

    path: str
    type: ClassVar[int] = 106

    def below(self, prefix: str) -> Self:
        """The same about the path below another."""
        return msgspec.structs.replace(self, path=prefixed(prefix, self.path))

    def serialize(self) -> bytes:
        """The path and the mode, 1: persistent and recursive."""
        return bytes(jute.write_string(self.path)) + bytes(jute.int_struct.pack(1))

    def deserialize(self, data: bytes, offset: int) -> bool:  # the answer is empty
        """Nothing to read."""
        return len(data) >= offset


def prefixed(prefix: str, path: str) -> str:
    """A path below another; `/` is the other itself."""
    return prefix if prefix and path == "/" else prefix + path


class Create(msgspec.Struct, frozen=True):
    """A new node; `ephemeral` makes it end with our session. Everybody may read and change it.

    With `sequence` ZooKeeper appends ten digits to its name, that no node beside it has had before.
    """

    path: str
    data: bytes = b""
    ephemeral: bool = False
    sequence: bool = False
    type: ClassVar[int] = 1

    def below(self, prefix: str) -> Self:
        """The same about the path below another."""
        return msgspec.structs.replace(self, path=prefixed(prefix, self.path))

    def serialize(self) -> bytes:
        """Path, data, access and flags."""
        flags = int(self.ephemeral) | int(self.sequence) << 1
        return bytes(jute.Create(self.path, self.data, OPEN_ACL_UNSAFE, flags).serialize())

    def deserialize(self, data: bytes, offset: int) -> str:
        """The path."""
        return str(jute.read_string(data, offset)[0])


class Delete(msgspec.Struct, frozen=True):
    """Remove a node, if it still has that version."""

    path: str
    version: int
    type: ClassVar[int] = 2

    def below(self, prefix: str) -> Self:
        """The same about the path below another."""
        return msgspec.structs.replace(self, path=prefixed(prefix, self.path))

    def serialize(self) -> bytes:
        """Path and version."""
        return bytes(jute.Delete(self.path, self.version).serialize())

    def deserialize(self, data: bytes, offset: int) -> bool:
        """Nothing to read."""
        return len(data) >= offset


class Change(msgspec.Struct, frozen=True):
    """Change a node's data, if it still has that version."""

    path: str
    data: bytes
    version: int
    type: ClassVar[int] = 5

    def below(self, prefix: str) -> Self:
        """The same about the path below another."""
        return msgspec.structs.replace(self, path=prefixed(prefix, self.path))

    def serialize(self) -> bytes:
        """Path, data and version."""
        return bytes(jute.SetData(self.path, self.data, self.version).serialize())

    def deserialize(self, data: bytes, offset: int) -> ZnodeStat:
        """The node's state."""
        return jute.SetData.deserialize(data, offset)


class Check(msgspec.Struct, frozen=True):
    """In a transaction: a node must be there, in that version (-1: in any)."""

    path: str
    version: int = -1
    type: ClassVar[int] = 13

    def below(self, prefix: str) -> Self:
        """The same about the path below another."""
        return msgspec.structs.replace(self, path=prefixed(prefix, self.path))

    def serialize(self) -> bytes:
        """Path and version."""
        return bytes(jute.CheckVersion(self.path, self.version).serialize())


class Multi(msgspec.Struct, frozen=True):
    """Several writes, all or none, in their order."""

    writes: tuple[Create | Delete | Change | Check, ...]
    type: ClassVar[int] = 14

    @property
    def path(self) -> str:
        """The first of its paths."""
        return self.writes[0].path

    def below(self, prefix: str) -> Self:
        """The same about the paths below another."""
        return msgspec.structs.replace(self, writes=tuple(write.below(prefix) for write in self.writes))

    def serialize(self) -> bytes:
        """Each write behind a header, and one header more."""
        writes = (bytes(jute.MultiHeader(one.type, False, -1).serialize()) + one.serialize() for one in self.writes)
        return b"".join(writes) + bytes(jute.multiheader_struct.pack(-1, True, -1))

    def deserialize(self, data: bytes, offset: int) -> list[object]:
        """A result for each write, or why none of them was done."""
        return list(jute.Transaction.deserialize(data, offset))


Write: TypeAlias = Create | Delete | Change | Multi
