"""The client: speaks to a hub's API with nothing but the standard library, so that a command starts quickly."""

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import click

from pilot_plus.cli.main import Refusal

DEFAULT_SERVER: Final = "http://127.0.0.1:7080"
TIMEOUT: Final = 30.0
"""Seconds without a byte; a watch says something every 10."""


def with_client(command: Callable[..., object]) -> Callable[..., object]:
    """The options that say which hub is meant; the command is given a `client` of it."""

    @wraps(command)
    def commanded(*arguments: object, server: str, ca: str | None, **options: object) -> object:
        return command(*arguments, client=Client(server, ca), **options)

    called: Callable[..., object] = commanded
    for option in (
        click.option("--ca", metavar="FILE", help="Certificate authorities to trust, beside the system's."),
        click.option(
            "--server",
            metavar="URL",
            envvar="PILOT_PLUS_ADDR",
            default=DEFAULT_SERVER,
            show_default=True,
            help="The hub's address (or PILOT_PLUS_ADDR).",
        ),
    ):
        called = option(called)
    return called


class Event(NamedTuple):
    """A server-sent event."""

    kind: str
    data: dict[str, Any]


class Client:
    """One hub."""

    def __init__(self, server: str, ca: str | None = None) -> None:
        """Speak to the hub at this URL.

        Raises:
            click.BadParameter: it is no URL of a hub.
        """
        url = urlsplit(server if "://" in server else f"http://{server}")
        try:
            port = url.port
        except ValueError:
            port = 0
        if url.scheme not in ("http", "https") or not url.hostname or port == 0:
            raise click.BadParameter(f"expected http://HOST:PORT or https://HOST:PORT, found {server!r}")
        self._url = url
        self._server = server
        self._ca = ca
        self._token = os.environ.get("PILOT_PLUS_TOKEN", "")

    def get(self, path: str, **query: str | None) -> dict[str, Any]:
        """Ask.

        Raises:
            Refusal: nobody there, or a problem.
        """
        return self.send("GET", path, query=query)

    def pages(self, path: str, field: str, **query: str | None) -> dict[str, Any]:
        """Ask for every page, as one answer."""
        whole = self.get(path, **query)
        while token := whole["next_page_token"]:
            page = self.get(path, **query, page_token=token)
            whole[field] += page[field]
            whole["next_page_token"] = page["next_page_token"]
        return whole

    def send(
        self, method: str, path: str, body: object = None, query: Mapping[str, str | None] | None = None
    ) -> dict[str, Any]:
        """Ask for something to be done; the answer is empty where there is nothing to say.

        Raises:
            Refusal: nobody there, or a problem.
        """
        connection, response = self._request(method, path, body, query or {}, {})
        try:
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Refusal(f"{self._server} broke off: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise Refusal(_problem(response.status, text))
        answer: dict[str, Any] = json.loads(text) if text else {}
        return answer

    def watch(self, **query: str | None) -> Iterator[Event]:
        """Follow changes for as long as the connection holds, then again from where it broke.

        Raises:
            Refusal: a problem, or nobody there at the first try.
        """
        last, tries = "", 0
        while True:
            try:
                for event_id, event in self._events(query, last):
                    last, tries = event_id or last, 0
                    yield event
            except Refusal:
                if not last:
                    raise
            tries += 1
            if tries == 1:
                click.echo(f"the hub at {self._server} broke off, trying again …", err=True)
            time.sleep(min(5.0, 0.2 * 2 ** min(tries, 10)))

    def _events(self, query: Mapping[str, str | None], last: str) -> Iterator[tuple[str, Event]]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        connection, response = self._request("GET", "/api/v1/watch", None, query, headers)
        try:
            if response.status >= 400:
                raise Refusal(_problem(response.status, response.read()))
            yield from parsed(response)
        except (OSError, http.client.HTTPException):
            return
        finally:
            connection.close()

    def _request(
        self, method: str, path: str, body: object, query: Mapping[str, str | None], headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        asked = urlencode({name.rstrip("_"): value for name, value in query.items() if value})
        sent = dict(headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        connection = self._connection()
        try:
            connection.request(
                method,
                f"{self._url.path.rstrip('/')}{path}" + (f"?{asked}" if asked else ""),
                None if body is None else json.dumps(body),
                sent,
            )
            return connection, connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Refusal(f"no hub answers at {self._server}: {error}") from error

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        try:
            trusted = ssl.create_default_context(cafile=self._ca)
        except (OSError, ssl.SSLError) as error:
            raise click.BadParameter(f"--ca: {self._ca}: {error}") from error
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT, context=trusted)


def path_of(*parts: str) -> str:
    """A path below `/api/v1`; each part may hold anything."""
    return "/api/v1/" + "/".join(quote(part, safe="") for part in parts)


def service_of(text: str) -> tuple[str, str]:
    """`NAMESPACE/NAME`, at the first slash.

    Raises:
        click.BadParameter: not of that form.
    """
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name):
        raise click.BadParameter(f"expected NAMESPACE/NAME, found {text!r}")
    return namespace, name


def parsed(lines: Iterable[bytes]) -> Iterator[tuple[str, Event]]:
    """Server-sent events, each with its id; one without data only moves the id."""
    kind, id_, data = "", "", ""
    for raw in lines:
        name, _, value = raw.decode().rstrip("\r\n").partition(": ")
        match name:
            case "event":
                kind = value
            case "id":
                id_ = value
            case "data":
                data += value
            case "" if not value:
                if data:
                    yield id_, Event(kind, json.loads(data))
                kind, id_, data = "", "", ""


def _problem(status: int, text: bytes) -> str:
    try:
        problem = json.loads(text)
        return f"{problem['title']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"the hub answered {status} {http.client.responses.get(status, '')}".rstrip()
