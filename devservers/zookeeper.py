"""ZooKeeper: one server with short ticks, with passwords and TLS if asked."""

import socket
from collections.abc import Mapping, Sequence

from devservers.network import HOST, free_port
from devservers.parts import JAVA, NETTY_JARS, ZOOKEEPER_JARS, classpath, tool
from devservers.process import Server
from devservers.tls import Tls

_JAVA_FLAGS = (
    *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dzookeeper.forceSync=no"),
    "-Dorg.slf4j.simpleLogger.logFile=System.out",
)


class ZooKeeper(Server):
    """A single ZooKeeper; `address` is what clients connect to.

    A session lasts from 2 to 20 ticks of `tick_ms`, whatever its client asks for. `users` (name: password) turns
    SASL DIGEST-MD5 on, and `require_users` refuses sessions without it; `tls` adds an encrypted port at
    `tls_address` that demands a client certificate; `settings` are more lines of zoo.cfg, `java_flags` more flags
    such as `-Djute.maxbuffer=4000000`.
    """

    kind = "zookeeper"

    def __init__(
        self,
        *,
        tick_ms: int = 200,
        users: Mapping[str, str] | None = None,
        require_users: bool = False,
        tls: Tls | None = None,
        settings: Mapping[str, object] | None = None,
        java_flags: Sequence[str] = (),
    ) -> None:
        """Choose what it does; `with` starts it."""
        super().__init__()
        self.tls = tls
        self._tick_ms = tick_ms
        self._users = dict(users or {})
        self._require_users = require_users
        self._settings = dict(settings or {})
        self._java_flags = list(java_flags)
        self._tls_port = free_port()

    @property
    def url(self) -> str:
        """The connection string; ZooKeeper has no scheme."""
        return self.address

    @property
    def tls_address(self) -> str:
        """HOST:PORT of the encrypted port."""
        return f"{HOST}:{self._tls_port}"

    def ask(self, word: str, *, timeout: float = 2.0) -> str:
        """Send a four-letter word: `srvr`, `cons`, `dump`, `wchs`, `mntr`."""
        with socket.create_connection((HOST, self.port), timeout) as connection:
            connection.sendall(word.encode())
            with connection.makefile("rb") as answer:
                return answer.read().decode()

    def _prepare(self) -> None:
        super()._prepare()
        lines = [f"{key}={value}" for key, value in {**self._configuration(), **self._settings}.items()]
        (self.folder / "zoo.cfg").write_text("\n".join(lines) + "\n")
        users = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
        module = "org.apache.zookeeper.server.auth.DigestLoginModule"
        (self.folder / "jaas.conf").write_text(f"Server {{ {module} required {users}; }};\n")

    def _configuration(self) -> dict[str, object]:
        configuration: dict[str, object] = {
            "dataDir": self.data,
            "tickTime": self._tick_ms,
            "clientPort": self.port,
            "clientPortAddress": HOST,
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            "extendedTypesEnabled": "true",  # nodes with a time to live
        }
        if self._users:
            configuration["authProvider.1"] = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
            configuration["sessionRequireClientSASLAuth"] = str(self._require_users).lower()
        return configuration | (self._tls_configuration(self.tls) if self.tls else {})

    def _tls_configuration(self, tls: Tls) -> dict[str, object]:
        return {
            "secureClientPort": self._tls_port,
            "secureClientPortAddress": HOST,
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "ssl.keyStore.location": tls.server.both,
            "ssl.keyStore.type": "PEM",
            "ssl.trustStore.location": tls.ca,
            "ssl.trustStore.type": "PEM",
            "ssl.clientAuth": "need",
        }

    def _command(self) -> list[str]:
        login = [f"-Djava.security.auth.login.config={self.folder / 'jaas.conf'}"] if self._users else []
        jars = classpath(ZOOKEEPER_JARS, *([NETTY_JARS] if self.tls else []))
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        flags = [*_JAVA_FLAGS, *login, *self._java_flags]
        return [str(tool(JAVA).path), *flags, "-cp", jars, main, str(self.folder / "zoo.cfg")]

    def _environment(self) -> Mapping[str, str]:
        return tool(JAVA).environment

    def _is_ready(self) -> bool:
        # It answers `ruok` even when its start failed, and nothing to a question that came a moment too early.
        return "Mode:" in self.ask("srvr", timeout=0.2)
