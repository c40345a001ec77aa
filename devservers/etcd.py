"""etcd: one member, quick to elect itself, with TLS and passwords if asked."""

import base64
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Self

from devservers.network import HOST, fetch, free_port
from devservers.parts import ETCD, tool
from devservers.process import Server
from devservers.tls import Tls


class Etcd(Server):
    """A single etcd; `url` is what clients connect to.

    `tls` serves over TLS (and `client_certificates` then demands one), `quota_bytes` makes it run full early,
    `arguments` are more flags of its command line.
    """

    kind = "etcd"

    def __init__(
        self,
        *,
        tls: Tls | None = None,
        client_certificates: bool = False,
        quota_bytes: int | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        """Choose what it does; `with` starts it."""
        super().__init__()
        self.tls = tls
        self._client_certificates = client_certificates
        self._quota = quota_bytes
        self._arguments = list(arguments)
        self._peer_port = free_port()
        self._health_port = free_port()
        self._password: str | None = None

    @property
    def url(self) -> str:
        """The client URL."""
        return f"{'https' if self.tls else 'http'}://{self.address}"

    def call(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        """Ask its JSON gateway, for example `call("/v3/kv/compaction", {"revision": "7"})`."""
        answer = json.loads(self._post(path, body, self._token()))
        return dict(answer)

    def put(self, key: str, value: str) -> int:
        """Write a key and return the revision."""
        return _revision(self.call("/v3/kv/put", {"key": _base64(key), "value": _base64(value)}))

    def get(self, key: str) -> str | None:
        """Read a key."""
        found = self.call("/v3/kv/range", {"key": _base64(key)}).get("kvs")
        return base64.b64decode(found[0].get("value", "")).decode() if isinstance(found, list) else None

    def keys(self, prefix: str) -> dict[str, int]:
        """All keys with a prefix, and the revision at which each was created: a key that went and came has another."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        body = {"key": _base64(prefix), "range_end": _base64(end), "keys_only": True}
        found = self.call("/v3/kv/range", body).get("kvs")
        rows = found if isinstance(found, list) else []
        return {base64.b64decode(row["key"]).decode(): int(row["create_revision"]) for row in rows}

    def life(self, key: str) -> int:
        """How many seconds the lease of a key has left; 0 where it has none, or is over."""
        kvs = self.call("/v3/kv/range", {"key": _base64(key)}).get("kvs")
        lease = kvs[0].get("lease") if isinstance(kvs, list) else None
        return int(str(self.call("/v3/lease/timetolive", {"ID": lease}).get("TTL", 0))) if lease else 0

    def delete(self, key: str, end: str | None = None) -> int:
        """Delete a key, or all keys from it up to `end`, and return the revision."""
        span = {"range_end": _base64(end)} if end else {}
        return _revision(self.call("/v3/kv/deleterange", {"key": _base64(key), **span}))

    def compact(self) -> int:
        """Forget all history before the present revision, which is returned."""
        revision = _revision(self.call("/v3/kv/range", {"key": _base64("/")}))
        self.call("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def enable_auth(self, password: str = "secret") -> tuple[str, str]:
        """Demand a user from now on, and return the one there is: root and its password."""
        self.call("/v3/auth/user/add", {"name": "root", "password": password})
        self.call("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.call("/v3/auth/enable", {})
        self._password = password
        return "root", password

    def wipe(self) -> Self:
        """Start with nothing, users included."""
        self._password = None
        return super().wipe()

    def _command(self) -> list[str]:
        peer = f"http://{HOST}:{self._peer_port}"
        return [
            str(tool(ETCD).path),
            f"--data-dir={self.data}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--listen-metrics-urls=http://{HOST}:{self._health_port}",
            "--heartbeat-interval=20",  # alone, it waits for nobody
            "--election-timeout=200",
            "--bcrypt-cost=4",
            *([f"--quota-backend-bytes={self._quota}"] if self._quota else []),
            *(self._tls_arguments(self.tls) if self.tls else []),
            *self._arguments,
        ]

    def _tls_arguments(self, tls: Tls) -> list[str]:
        served = [f"--cert-file={tls.server.cert}", f"--key-file={tls.server.key}", f"--trusted-ca-file={tls.ca}"]
        return [*served, *(["--client-cert-auth"] if self._client_certificates else [])]

    def _environment(self) -> Mapping[str, str]:
        arm = {"ETCD_UNSUPPORTED_ARCH": "arm64"} if platform.machine() == "aarch64" else {}
        return {**tool(ETCD).environment, **arm}

    def _is_ready(self) -> bool:
        health = json.loads(fetch(f"http://{HOST}:{self._health_port}/health"))
        return str(health.get("health")) in {"true", "True"}

    def _token(self) -> str | None:
        if self._password is None:
            return None
        answer = self._post("/v3/auth/authenticate", {"name": "root", "password": self._password}, None)
        return str(json.loads(answer)["token"])

    def _post(self, path: str, body: Mapping[str, object], token: str | None) -> bytes:
        headers = {"Authorization": token} if token else {}
        context = self.tls.client_context() if self.tls else None
        return fetch(f"{self.url}{path}", body, headers=headers, context=context)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _revision(answer: Mapping[str, object]) -> int:
    match answer:
        case {"header": {"revision": str(revision)}}:
            return int(revision)
    raise ValueError(f"an answer of etcd without a revision: {answer}")
