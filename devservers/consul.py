"""Consul: one agent that is server and client, durable or quick, with access control and TLS if asked."""

import json
import re
import resource
import subprocess
from collections.abc import Mapping

from devservers.network import HOST, fetch, free_port
from devservers.parts import CONSUL, tool
from devservers.process import Server
from devservers.tls import Tls


class Consul(Server):
    """A single Consul agent; `url` is its HTTP API.

    A `durable` one keeps its data over `start_again` and needs 1 to 2 s to elect itself; the other forgets and
    starts in 0.2 s. `token` turns access control on (deny by default) with this management token; `tls` adds
    HTTPS at `https_url`; `settings` are more keys of its configuration.
    """

    kind = "consul"

    def __init__(
        self,
        *,
        durable: bool = True,
        token: str | None = None,
        tls: Tls | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """Choose what it does; `with` starts it."""
        super().__init__()
        self.token = token
        self.tls = tls
        self._durable = durable
        self._settings = dict(settings or {})
        self._ports = {"server": free_port(), "serf_lan": free_port(), "serf_wan": free_port()}
        self._https_port = free_port()

    @property
    def https_url(self) -> str:
        """Its HTTP API over TLS."""
        return f"https://{HOST}:{self._https_port}"

    def call(self, method: str, path: str, body: object = None) -> object:
        """Ask its HTTP API with the management token, for example `call("GET", "/v1/catalog/services")`."""
        headers = {"X-Consul-Token": self.token} if self.token else {}
        answer = fetch(f"{self.url}{path}", body, method=method, headers=headers)
        return json.loads(answer) if answer.strip() else None

    def register(self, name: str, port: int, *, instance: str | None = None, **fields: object) -> None:
        """Register an instance of a service with the agent; `fields` are further ones of the API (`Meta`, `Tags`)."""
        body = {"ID": instance or f"{name}-{port}", "Name": name, "Address": HOST, "Port": port, **fields}
        self.call("PUT", "/v1/agent/service/register", body)

    def deregister(self, instance: str) -> None:
        """Take an instance out again."""
        self.call("PUT", f"/v1/agent/service/deregister/{instance}")

    def _prepare(self) -> None:
        super()._prepare()
        (self.folder / "consul.json").write_text(json.dumps({**self._configuration(), **self._settings}))

    def _configuration(self) -> dict[str, object]:
        modern = _version() >= (1, 14)
        ports = {"http": self.port, "dns": -1, "grpc": -1, **({"grpc_tls": -1} if modern else {}), **self._ports}
        configuration: dict[str, object] = {
            "node_name": "devserver",
            "bind_addr": HOST,
            "client_addr": HOST,
            "ports": {**ports, "https": self._https_port if self.tls else -1},
            "performance": {"raft_multiplier": 1},
            "limits": {"http_max_conns_per_client": _open_files() - 1_000},
            "disable_update_check": True,
            "leave_on_terminate": False,
        }
        if self.token:
            name = "initial_management" if modern else "master"
            tokens = {name: self.token, "agent": self.token}
            configuration["acl"] = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        if self.tls:
            served = {"ca_file": self.tls.ca, "cert_file": self.tls.server.cert, "key_file": self.tls.server.key}
            files = {key: str(path) for key, path in served.items()}
            configuration |= {"tls": {"https": files}} if modern else files
        return configuration

    def _command(self) -> list[str]:
        durable = ["-server", "-bootstrap-expect=1", f"-data-dir={self.data}"]
        own = durable if self._durable else ["-dev"]
        return [str(tool(CONSUL).path), "agent", f"-config-file={self.folder / 'consul.json'}", *own]

    def _environment(self) -> Mapping[str, str]:
        return tool(CONSUL).environment

    def _is_ready(self) -> bool:
        # The agent is in its own catalog: a leader is elected, access control works, and this agent has registered.
        return bool(self.call("GET", "/v1/health/service/consul?passing"))


def _open_files() -> int:
    """Return how many files the agent may open; it refuses to start when its own limits exceed that."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 20_000)


def _version() -> tuple[int, int]:
    program = tool(CONSUL)
    text = subprocess.run(
        [program.path, "version"], env=program.environment, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    found = re.search(r"v(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
