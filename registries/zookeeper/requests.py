"""What we ask of ZooKeeper, as its protocol has it; kazoo sends anything that has a `type` and can `serialize`.

None of them has a field named `watcher`: kazoo would register it as a watch of its own, once for each.
(apache/zookeeper: `zookeeper.jute`, `ZooDefs.OpCode`.)
"""

from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import msgspec
from kazoo.protocol import serialization as jute
from kazoo.protocol.states import ZnodeStat

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
