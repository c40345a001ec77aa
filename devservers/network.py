"""Ports on loopback that nobody else is about to take, and the smallest HTTP client."""

import json
import os
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from random import SystemRandom

HOST = "127.0.0.1"
# Below the ports that the kernel gives to clients, so that a server which comes back finds its port free.
# Not the shared random generator: a seeded test run would draw the same ports in every worker.
_RANDOM = SystemRandom()
_RANGE = range(21_000, 32_000)
# Each worker of a test run draws from a share of its own: else one may be given the port of another's server that is
# down for a moment.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_SHARE = _RANGE[_WORKER::_WORKERS]
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1, free for TCP and UDP, that this process was not given before."""
    for _ in range(1_000):
        port = _RANDOM.choice(_SHARE)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    if _given:  # a long run has used nearly all of them once
        _given.clear()
        return free_port()
    raise OSError("no free port found on 127.0.0.1")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
    return True


def fetch(
    url: str,
    body: object = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
    timeout: float = 5.0,
) -> bytes:
    """Ask once over HTTP, with a JSON body if one is given; raises OSError for a refusal or a status of 400 or more."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, dict(headers or {}), method=method)
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]  # never through a proxy
    if context is not None:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
        content: bytes = answer.read()
        return content
