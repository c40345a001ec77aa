"""Hostile requests: every one gets an answer of the contract, and none a 500."""

from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_plus.model import Reset
from tests.pilot_plus.servers.api.hub import Hub, copy

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
PARTS = b"/api/v1 /services /instances /watch /registries /zk /release /legacy /orders /heartbeat /explain".split()
ODD = b"/.. /. // /%2F /%2e%2e /%00 /%ff /% /%zz /%0d%0aX:y /%252f /\xff /\xe2\x80\xae".split()
PIECES = st.sampled_from([*PARTS, *ODD, b"/" + b"x" * 10_000])
PATHS = st.one_of(st.lists(PIECES, max_size=7).map(b"".join), st.binary(max_size=60).map(lambda b: b"/" + b))
QUERIES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"from=mesh", b"from=%00", b"since=e.1", b"since=e." + b"9" * 5000, b"a=" * 200, b"&" * 99]),
    st.sampled_from([b"page_token=" + b"A" * n for n in (1, 2, 3, 4, 999)]),
)
BODIES = st.one_of(st.binary(max_size=200), st.sampled_from([b"[" * 20_000, b"{}", b"null", b"x" * 70_000]))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"content-type", b"last-event-id", b"authorization", b"origin", b"x"]),
        st.one_of(st.binary(max_size=30), st.sampled_from([b"application/json", b"Bearer x", b"e." + b"1" * 5000])),
    ),
    max_size=4,
)


class Sent:
    """What an application sends, as a response."""

    def __init__(self) -> None:
        self.status_code = 0
        self.headers: dict[str, str] = {}
        self.content = b""

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status_code = message["status"]
            self.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
        self.content += message.get("body", b"")


async def sent(
    hub: Hub, method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> Sent:
    """Send one request; its client leaves as soon as it has been read."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    answer = Sent()

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    scope = {
        "type": "http",
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": [(b"host", b"localhost"), *headers],
    }
    await hub.api(scope, receive, answer)
    return answer


@given(METHODS, PATHS, QUERIES, HEADERS, BODIES)
async def test_whatever_is_asked_the_answer_is_one_of_the_contract(method, path, query, headers, body):
    hub = Hub()
    hub.say("zk", Reset(instances=[copy("a")]))
    answer = await sent(hub, method, path, query, headers, body)
    assert answer.status_code in (200, 204, 400, 401, 403, 404, 405, 413, 415, 422)
    assert answer.headers["x-pilot-plus-revision"]
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (b"/api/v1/services/legacy/../orders", 400),
        (b"/api/v1/services/legacy/%2e%2e", 400),
        (b"/api/v1/services/./orders", 400),
        (b"/api/v1/services/legacy/%00", 400),
        (b"/api/v1/services/legacy/%0a", 400),
        (b"/api/v1/services/legacy/%ff", 400),
        (b"/api/v1/services/legacy/" + b"x" * 10_000, 400),
        (b"/api/v1/services/legacy/" + b"x" * 2_000, 400),
        (b"/api/v1/services/legacy/", 404),
        (b"/api/v1/services//orders", 404),
        (b"/", 404),
        (b"", 404),
    ],
)
async def test_a_path_that_no_name_can_hold_is_a_problem(path, status):
    assert (await sent(Hub(), "GET", path, b"", [], b"")).status_code == status


async def test_a_request_without_host_is_a_problem():
    answer, hub = Sent(), Hub()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/healthz", "query_string": b"", "headers": []}
    await hub.api(scope, receive, answer)
    assert answer.status_code == 400
