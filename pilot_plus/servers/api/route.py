"""Routes: what is asked, found by method and path; each says enough of itself to be described to others."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec

from pilot_plus.servers.api.problem import Problem

if TYPE_CHECKING:
    from pilot_plus.servers.api.context import Context

JSON: Final = b"application/json"
DOT_SEGMENTS: Final = (".", "..")
"""What proxies and clients read in a path as another path."""
MAX_PART: Final = 1024
"""Characters of one name in a path, decoded."""
MAX_PATH: Final = 8192
MAX_PARAMETERS: Final = 32

Role: TypeAlias = Literal["", "read", "register", "operate"]
"""What a token must allow; empty: nothing is needed."""


class Ask(msgspec.Struct, frozen=True):
    """A request, as far as handlers care."""

    names: Mapping[str, str]
    """What stands for the names in the route's path."""
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """A response: a body, or a stream of its parts."""

    body: bytes = b""
    status: int = 200
    type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: AsyncGenerator[bytes, None] | None = None


Handler: TypeAlias = Callable[["Context", Ask], Awaitable[Answer]]


class Parameter(msgspec.Struct, frozen=True):
    """A parameter in the query."""

    name: str
    about: str
    values: tuple[str, ...] = ()
    """What it may be; empty: any text."""
    is_number: bool = False


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be asked."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    about: str
    handler: Handler
    role: Role = "read"
    query: tuple[Parameter, ...] = ()
    takes: type[msgspec.Struct] | None = None
    """The shape of the body that it needs."""
    gives: type[msgspec.Struct] | str | None = None
    """The shape of its answer, a media type, or nothing."""
    gives_else: type[msgspec.Struct] | None = None
    """The shape of its answer to another form of the question."""
    status: int = 200
    problems: tuple[int, ...] = ()
    """What may go wrong, beside what may go wrong everywhere."""


class Router:
    """Finds routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Route to these."""
        self._by_length: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for route in routes:
            pattern = tuple(route.path.split("/")[1:])
            same_length = self._by_length.setdefault(len(pattern), [])
            methods = next((methods for known, methods in same_length if known == pattern), None)
            if methods is None:
                methods = {}
                same_length.append((pattern, methods))
            methods[route.method] = route

    def find(self, method: str, raw_path: bytes) -> tuple[Route, dict[str, str]]:
        """The route, and what stands for the names in its path.

        Raises:
            Problem: 400 for a path that can't be read, 404, 405.
        """
        parts = parts_of(raw_path)
        for pattern, methods in self._by_length.get(len(parts), ()):
            names = _matched(pattern, parts)
            if names is None:
                continue
            route = methods.get("GET" if method == "HEAD" else method)
            if route is None:
                allowed = sorted({*methods, *(("HEAD",) if "GET" in methods else ())})
                raise Problem(
                    405, f"{method[:20]} is not for this path: {', '.join(allowed)}", ((b"allow", _joined(allowed)),)
                )
            return route, names
        raise Problem(404, "nothing is served at this path; /openapi.json lists what is")


def _matched(pattern: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, str] | None:
    names = {}
    for expected, part in zip(pattern, parts, strict=True):
        if expected.startswith("{"):
            names[expected[1:-1]] = part
        elif expected != part:
            return None
    return names if all(names.values()) else None


def _joined(methods: list[str]) -> bytes:
    return ", ".join(methods).encode()


def parts_of(raw_path: bytes) -> tuple[str, ...]:
    """The parts of a path between its slashes, each decoded once, so that `%2F` is a slash inside a name.

    Raises:
        Problem: 400 for what no name can hold, and for dot segments, which proxies read differently.
    """
    if len(raw_path) > MAX_PATH:
        raise Problem(400, f"the path has {len(raw_path)} bytes, more than {MAX_PATH}")
    return _parts_of(raw_path) if len(raw_path) < 512 else _parts_of.__wrapped__(raw_path)


@lru_cache(maxsize=8192)
def _parts_of(raw_path: bytes) -> tuple[str, ...]:
    return tuple(_decoded(part) for part in raw_path.split(b"/")[1:])


def _decoded(part: bytes) -> str:
    try:
        text = unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise Problem(400, "a name in the path is no UTF-8 when decoded") from error
    if len(text) > MAX_PART:
        raise Problem(400, f"a name in the path has {len(text)} characters, more than {MAX_PART}")
    if not text.isprintable():
        raise Problem(400, f"a name in the path holds a control or unassigned character: {text[:100]!r}")
    if text in DOT_SEGMENTS:
        raise Problem(400, "the path holds a dot segment")
    return text


def query_of(route: Route, query_string: bytes) -> dict[str, str]:
    """The parameters of a query.

    Raises:
        Problem: 400 for what the route doesn't know, what is there twice, and what is no text.
    """
    if not query_string:
        return {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError as error:
        raise Problem(
            400, "the query can't be read: expected at most 32 NAME=VALUE in percent-encoded UTF-8"
        ) from error
    known = {parameter.name: parameter for parameter in route.query}
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise Problem(400, f"unknown parameter {name[:100]!r}; known here: {names}")
        if name in found:
            raise Problem(400, f"parameter {name!r} is there twice")
        _check(known[name], value)
        found[name] = value
    return found


def _check(parameter: Parameter, value: str) -> None:
    if len(value) > MAX_PART or not value.isprintable():
        raise Problem(400, f"parameter {parameter.name!r}: expected printable text of at most {MAX_PART} characters")
    if parameter.values and value and value not in parameter.values:
        raise Problem(
            400, f"parameter {parameter.name!r}: expected {', '.join(parameter.values)}, found {value[:100]!r}"
        )
    if parameter.is_number and not (value.isascii() and value.isdecimal() and len(value) < 10 and int(value) > 0):
        raise Problem(400, f"parameter {parameter.name!r}: expected a number above 0, found {value[:100]!r}")
