"""etcd's remote methods that we call, by their paths, with messages of our own (`wire.proto`)."""

from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from registries.etcd import wire_pb2 as wire

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)


class Method(Generic[Q, A]):
    """A remote method: its path, and the type of its answer."""

    def __init__(self, path: str, answer: type[A]) -> None:
        self.path = path
        self.answer = answer

    def encode(self, request: Q) -> bytes:
        """The bytes of a request."""
        return request.SerializeToString()

    def decode(self, data: bytes) -> A:
        """An answer."""
        return self.answer.FromString(data)


RANGE: Final = Method[wire.RangeRequest, wire.RangeResponse]("/etcdserverpb.KV/Range", wire.RangeResponse)
TXN: Final = Method[wire.TxnRequest, wire.TxnResponse]("/etcdserverpb.KV/Txn", wire.TxnResponse)
WATCH: Final = Method[wire.WatchRequest, wire.WatchResponse]("/etcdserverpb.Watch/Watch", wire.WatchResponse)
GRANT: Final = Method[wire.LeaseGrantRequest, wire.LeaseGrantResponse](
    "/etcdserverpb.Lease/LeaseGrant", wire.LeaseGrantResponse
)
REVOKE: Final = Method[wire.LeaseRevokeRequest, wire.LeaseRevokeResponse](
    "/etcdserverpb.Lease/LeaseRevoke", wire.LeaseRevokeResponse
)
KEEP_ALIVE: Final = Method[wire.LeaseKeepAliveRequest, wire.LeaseKeepAliveResponse](
    "/etcdserverpb.Lease/LeaseKeepAlive", wire.LeaseKeepAliveResponse
)
AUTHENTICATE: Final = Method[wire.AuthenticateRequest, wire.AuthenticateResponse](
    "/etcdserverpb.Auth/Authenticate", wire.AuthenticateResponse
)
