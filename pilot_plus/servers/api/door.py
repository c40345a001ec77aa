"""The door: who may ask at all.

On loopback nobody needs a token, but a page in somebody's browser must not reach the hub through a name that it has
pointed at 127.0.0.1 (DNS rebinding), nor write across sites: so `Host` must be this machine's, and a request that
writes must not come from another site's page. Off loopback a bearer token is needed, over TLS, unless the operator
said `--insecure`.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from pilot_plus.catalog.admission import is_loopback
from pilot_plus.config import Config, ConfigError
from pilot_plus.servers.api.problem import Problem
from pilot_plus.servers.api.route import Role

_READS: Final = frozenset(("GET", "HEAD"))


class Door:
    """Lets requests in, or not."""

    def __init__(self, config: Config, *, insecure: bool = False) -> None:
        """Guard what listens at `listen.http`.

        Raises:
            ConfigError: it would be open to everybody, and nobody has said that it should be.
        """
        listen = config.listen
        self._is_local = is_loopback(listen.http.host)
        self._checks_tokens = not self._is_local and not insecure
        if self._checks_tokens and listen.tls is None:
            raise ConfigError(_too_open(listen.http, "listen.tls: required"))
        self._check_that_somebody_may(config)
        self._own_host = listen.http.host.lower()
        self._roles = _roles_of(config)
        self._known_hosts: set[bytes] = set()

    def reload(self, config: Config) -> None:
        """Go on with the tokens of another configuration.

        Raises:
            ConfigError: there is none, and one is needed; nothing has changed.
        """
        self._check_that_somebody_may(config)
        self._roles = _roles_of(config)

    def check(self, method: str, role: Role, headers: Mapping[bytes, bytes]) -> None:
        """Let a request pass.

        Raises:
            Problem: 400, 401 or 403.
        """
        if self._is_local:
            self._check_host(headers)
        if method not in _READS:
            _check_site(headers)
        if self._checks_tokens and role:
            self._check_token(role, headers.get(b"authorization", b""))

    def _check_that_somebody_may(self, config: Config) -> None:
        if self._checks_tokens and not config.auth.tokens:
            raise ConfigError(_too_open(config.listen.http, "auth.tokens: at least one is required"))

    def _check_host(self, headers: Mapping[bytes, bytes]) -> None:
        host = headers.get(b"host")
        if host in self._known_hosts:
            return
        if host is None:
            raise Problem(400, "the request has no Host header")
        name = _host_name(host)
        if name != self._own_host and not is_loopback(name):
            raise Problem(
                403, "Host is not this machine's: ask for localhost, 127.0.0.1, [::1] or `listen.http`'s host"
            )
        if len(self._known_hosts) < 64:
            self._known_hosts.add(host)

    def _check_token(self, role: Role, authorization: bytes) -> None:
        scheme, _, secret = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not secret:
            raise Problem(401, "a bearer token is needed (`auth.tokens`)", ((b"www-authenticate", b"Bearer"),))
        digest = sha256(secret.strip()).digest()
        roles: frozenset[str] | None = None
        for known, granted in self._roles.items():  # all of them, so that time doesn't tell which came close
            if hmac.compare_digest(known, digest):
                roles = granted
        if roles is None:
            raise Problem(401, "the token is not known", ((b"www-authenticate", b'Bearer error="invalid_token"'),))
        if role not in roles:
            raise Problem(403, f"the token does not have the role {role!r}")


def _roles_of(config: Config) -> dict[bytes, frozenset[str]]:
    """What each token allows, by its hash."""
    return {sha256(token.secret.encode()).digest(): frozenset(token.roles) for token in config.auth.tokens}


def _too_open(address: str, missing: str) -> str:
    return f"{missing} where listen.http is not on loopback ({address}); or say `run --insecure` to let everybody in"


def _check_site(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what a page of another site sends through its reader's browser."""
    origin = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
        raise Problem(403, "requests that write are not taken from pages of other sites")


def _host_name(host: bytes) -> str:
    text = host.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].removesuffix(".")
