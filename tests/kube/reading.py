"""List and watch."""

import asyncio
import base64
from collections.abc import Iterator, Mapping

import msgspec
from aiohttp import web

from tests.kube.faults import Faults
from tests.kube.selectors import selects
from tests.kube.status import bad_request, list_too_old, page_too_old, too_new, too_old
from tests.kube.store import Object, Store, Written
from tests.kube.target import Target

Place = tuple[str, str]
TRUE = ("true", "1")
LOOK = 0.05
"""Seconds after which an idle watch looks for faults and bookmarks."""


class Reader:
    """Answers to list and watch."""

    def __init__(self, store: Store, bookmark_every: float, too_new_after: float) -> None:
        self.faults = Faults()
        self.closing = asyncio.Event()
        self._store = store
        self.bookmark_every = bookmark_every
        self._too_new_after = too_new_after

    async def page(self, request: web.Request, target: Target) -> web.StreamResponse:
        """One page."""
        query = request.query
        limit = 0 if query.get("resourceVersion") == "0" else int(query.get("limit") or 0)
        revision, start = await self._start(query)
        items: list[Object] = []
        last: Place = ("", "")
        token = ""
        for key, found in self._store.at(revision, target.resource.plural, target.namespace):
            if (start and (key.namespace, key.name) <= start) or not selects(query, found):
                continue
            if limit and len(items) == limit:
                token = _token(revision, last)
                break
            items.append({key: value for key, value in found.items() if key not in ("kind", "apiVersion")})
            last = (key.namespace, key.name)
        meta = {"resourceVersion": str(revision)} | ({"continue": token} if token else {})
        body = {"kind": f"{target.resource.kind}List", "apiVersion": target.resource.api_version, "metadata": meta}
        return await self._page(request, body, items, 2 if start else 1)

    async def _start(self, query: Mapping[str, str]) -> tuple[int, Place | None]:
        """The revision of a list, and after what the page begins."""
        if token := query.get("continue"):
            revision, start = _untoken(token)
            if revision == -1:
                return self._store.revision, start
            if revision < self._store.floor or self.faults.expired_pages:
                raise page_too_old(_token(-1, start))
            return revision, start
        text = query.get("resourceVersion") or "0"
        if not text.isdecimal():
            raise bad_request(f'resourceVersion: Invalid value: "{text}"')
        asked = int(text)
        if asked > self._store.revision:
            await self._catch_up(asked)
        if query.get("resourceVersionMatch") == "Exact" and asked:
            if asked < self._store.floor:
                raise list_too_old()
            return asked, None
        return self._store.revision, None

    async def _catch_up(self, asked: int) -> None:
        try:
            async with asyncio.timeout(self._too_new_after):
                while asked > self._store.revision:
                    await self._store.more.wait()
        except TimeoutError:
            raise too_new(asked, self._store.revision) from None

    async def _page(self, request: web.Request, body: Object, items: list[Object], page: int) -> web.StreamResponse:
        shown: list[object] = [{"metadata": {"name": 7}, "spec": []}] if self.faults.garbage_item else []
        data = msgspec.json.encode({**body, "items": [*shown, *items]})
        if self.faults.garbage == "list":
            data = b"\xff" + data
        if self.faults.cut_page != page:
            return web.Response(body=data, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        _abort(request)
        return response

    async def watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        """A stream of events, until the client's time limit."""
        asked = int(request.query.get("resourceVersion") or 0)
        refused = None
        if self.faults.gone or 0 < asked < self._store.window:
            refused = too_old(asked, self._store.window)
            if self.faults.gone == "status":
                raise refused
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        if refused is not None:
            await response.write(_line("ERROR", refused.status()))
            return response
        try:
            async with asyncio.timeout(float(request.query.get("timeoutSeconds") or 1800)):
                await self._tell(request, response, target, asked)
        except TimeoutError:
            await response.write_eof()
        except ConnectionError:
            pass  # the client has gone
        return response

    async def _tell(self, request: web.Request, response: web.StreamResponse, target: Target, asked: int) -> None:
        """Events after a revision, until the watch is cut."""
        seen, cuts = asked or self._store.revision, self.faults.cut_watches
        if not asked:
            now = self._store.at(self._store.revision, target.resource.plural, target.namespace)
            await response.write(b"".join(_line("ADDED", found) for _, found in now if selects(request.query, found)))
        loop = asyncio.get_running_loop()
        marked = loop.time()
        while not self.closing.is_set():
            more = self._store.more
            if not self.faults.hang:
                lines = [line for written in self._store.since(seen) for line in _event(request, target, written)]
                seen = max(seen, self._store.revision)
                if self.faults.garbage == "watch":
                    lines.append(b"\xff no JSON\n")
                if loop.time() - marked >= self.bookmark_every and request.query.get("allowWatchBookmarks") in TRUE:
                    marked = loop.time()
                    lines.append(_bookmark(target, seen))
                if lines:
                    await response.write(b"".join(lines))
                if self.faults.cut_watches != cuts:
                    return await _cut(request, response, self.faults.cut)
            try:
                async with asyncio.timeout(LOOK):
                    await more.wait()
            except TimeoutError:
                continue
        return None


def _event(request: web.Request, target: Target, written: Written) -> Iterator[bytes]:
    """What a write means for a watch, which sees only what its selector matches."""
    key = written.key
    if key.resource != target.resource.plural or (target.namespace and key.namespace != target.namespace):
        return
    was = written.before is not None and selects(request.query, written.before)
    if written.after is not None and selects(request.query, written.after):
        yield _line("MODIFIED" if was else "ADDED", written.after)
    elif was and written.before is not None:
        meta = {**written.before["metadata"], "resourceVersion": str(written.revision)}
        yield _line("DELETED", {**written.before, "metadata": meta})


def _bookmark(target: Target, seen: int) -> bytes:
    meta = {"resourceVersion": str(seen), "creationTimestamp": None}
    return _line(
        "BOOKMARK", {"kind": target.resource.kind, "apiVersion": target.resource.api_version, "metadata": meta}
    )


async def _cut(request: web.Request, response: web.StreamResponse, how: str) -> None:
    if how == "half_line":
        await response.write(b'{"type":"MODIFIED","object":{"meta')
    if how == "abort":
        _abort(request)


def _abort(request: web.Request) -> None:
    if isinstance(request.transport, asyncio.Transport):
        request.transport.abort()


def _line(kind: str, found: Object) -> bytes:
    return msgspec.json.encode({"type": kind, "object": found}) + b"\n"


class _Token(msgspec.Struct):
    v: str
    rv: int
    start: Place


def _token(revision: int, start: Place) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Token("meta.k8s.io/v1", revision, start))).decode()


def _untoken(text: str) -> tuple[int, Place]:
    try:
        token = msgspec.json.decode(base64.urlsafe_b64decode(text), type=_Token)
    except (ValueError, msgspec.DecodeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    return token.rv, token.start
