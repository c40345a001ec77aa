"""Tokens from the command line, against the handlers that the API mounts."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from pilot_plus.cli.token import token
from pilot_plus.identity.requests import create_token, list_tokens, revoke_token
from pilot_plus.views.membership import TokenRequest
from pilot_plus.wire.jointoken import parse_token
from tests.pilot_plus.identity.company import Company


class Api(BaseHTTPRequestHandler):
    company: Company

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        asked = msgspec.json.decode(body, type=TokenRequest)
        self._answer(201, create_token(asked, self.company.tokens, self.company.authority, {"vm", "mesh"}.__contains__))

    def do_GET(self) -> None:
        self._answer(200, list_tokens(self.company.tokens))

    def do_DELETE(self) -> None:
        self._answer(204, revoke_token(self.path.rpartition("/")[2], self.company.tokens))

    def _answer(self, status: int, answer: Awaitable[Any]) -> None:
        async def awaited() -> Any:
            return await answer

        try:
            result = asyncio.run(awaited())
        except ValueError as error:
            status, result = 400, {"title": "refused", "detail": str(error), "status": 400}
        if result is False:
            status, result = 404, {"title": "not found", "detail": "no such token", "status": 404}
        text = b"" if status == 204 else msgspec.json.encode(result)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def company() -> Company:
    return asyncio.run(Company().open())


@pytest.fixture
def server(company: Company) -> Iterator[str]:
    handler = type("Handler", (Api,), {"company": company})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


def call(server: str, *words: str) -> Result:
    return CliRunner().invoke(token, words, env={"PILOT_PLUS_ADDR": server})


def test_create_prints_only_the_token(server: str, company: Company) -> None:
    called = call(server, "create", "--edge", "--zone", "vm")
    assert called.exit_code == 0
    assert parse_token(called.stdout).fingerprint == company.authority.state.fingerprint
    assert called.stdout.count("\n") == 1
    assert called.stderr == ""


def test_list_shows_what_tokens_are_for_and_never_themselves(server: str) -> None:
    made = call(server, "create", "--zone", "mesh", "--service", "shop/orders", "--uses", "0", "--ttl", "10m").stdout
    called = call(server, "list", "-o", "json")
    listed = json.loads(called.stdout)["tokens"]
    assert [(one["zone"], one["service"], one["uses"], one["used"]) for one in listed] == [
        ("mesh", "shop/orders", 0, 0)
    ]
    assert made.strip().rpartition(".")[2] not in called.stdout
    table = call(server, "list").stdout
    assert "service shop/orders" in table
    assert "0 of any" in table


def test_a_revoked_token_is_gone(server: str) -> None:
    made = parse_token(call(server, "create", "--zone", "vm").stdout)
    assert call(server, "revoke", made.id).exit_code == 0
    assert call(server, "revoke", made.id).exit_code == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--zone", "moon"), 1, "no zone of this cluster"),
        (("--zone", "vm", "--ttl", "never"), 2, "duration"),
        (("--zone", "vm", "--ttl", "9000d"), 1, "ttl"),
        (("--zone", "vm", "--service", "orders"), 1, "NAMESPACE/NAME"),
        (("--zone", "vm", "--edge", "--service", "a/b"), 2, "not both"),
        (("--edge",), 2, "--zone"),
    ],
)
def test_what_is_refused_says_why(server: str, words: tuple[str, ...], code: int, said: str) -> None:
    called = call(server, "create", *words)
    assert called.exit_code == code
    assert said in called.stderr
    assert called.stdout == ""
