"""The fake API server's HTTP: who asks, for what, and the answer."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from tests.kube import rights
from tests.kube.faults import Faults
from tests.kube.reading import Reader
from tests.kube.resources import BUILT_IN, resources
from tests.kube.status import Refusal
from tests.kube.store import Object, Store
from tests.kube.target import Target, discovery, target_of, verb_of
from tests.kube.writing import Writer, parsed

NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


class Settings(msgspec.Struct, kw_only=True):
    """How this server differs from an ordinary one."""

    bookmark_every: float = 60.0
    special_addresses: bool = False
    """Take loopback addresses and the like in slices, which no real server does."""
    too_new_after: float = 3.0
    """Seconds that a list waits for a revision that isn't there yet."""
    tokens: dict[str, str] = msgspec.field(default_factory=lambda: {rights.ADMIN: rights.ADMIN})
    """Token and user."""


class Api:
    """A store behind HTTP."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.tokens = settings.tokens
        self.requests: list[str] = []
        """Method and path with query of every request, for tests that count them."""
        self._reader = Reader(store, settings.bookmark_every, settings.too_new_after)
        self._writer = Writer(store, special_addresses=settings.special_addresses)
        for name in NAMESPACES:
            target = Target(BUILT_IN[0], "", name)
            if store.get(target.key) is None:
                self._writer.create(target, {"metadata": {"name": name}}, "apiserver")

    @property
    def faults(self) -> Faults:
        """What goes wrong now."""
        return self._reader.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._reader.faults = faults

    @property
    def bookmark_every(self) -> float:
        """Seconds between bookmarks."""
        return self._reader.bookmark_every

    @bookmark_every.setter
    def bookmark_every(self, seconds: float) -> None:
        self._reader.bookmark_every = seconds

    def write(self, plural: str, namespace: str, found: Object) -> None:
        """Create an object, without the way over HTTP."""
        (resource,) = [one for one in resources(self.store) if one.plural == plural]
        self._writer.create(Target(resource, namespace, ""), found, "tests")

    def app(self) -> web.Application:
        """The whole as an application."""
        app = web.Application(client_max_size=4 << 20)
        app.router.add_route("*", "/_fake/{what}", self._fake)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        self._reader.closing.set()

    async def _fake(self, request: web.Request) -> web.Response:
        """What no real server has: faults, compaction, tokens."""
        body = await request.read()
        match request.match_info["what"]:
            case "faults":
                self.faults = msgspec.json.decode(body, type=Faults)
            case "compact":
                self.store.compact()
            case "bump":
                self.store.bump(int(body))
            case "tokens":
                self.tokens = msgspec.json.decode(body, type=dict[str, str])
            case "requests":
                return _json(self.requests)
        return _json({})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        if self.faults.hang:
            await self._reader.closing.wait()
        await asyncio.sleep(self.faults.delay)
        try:
            if self.faults.status:
                raise Refusal(self.faults.status, "Fault", "the server was told to answer so")
            return await self._answer(request, rights.user_of(request.headers.get("Authorization"), self.tokens))
        except Refusal as refusal:
            return web.Response(status=refusal.code, body=refusal.body(), content_type="application/json")

    async def _answer(self, request: web.Request, user: str) -> web.StreamResponse:
        if (found := discovery(self.store, request.path)) is not None:
            return _json(found)
        target = target_of(self.store, request.path)
        verb = verb_of(request, target)
        rights.demand(self.store, user, verb, target.resource, target.namespace, target.name)
        if verb == "watch":
            return await self._reader.watch(request, target)
        if verb == "list":
            return await self._reader.page(request, target)
        if verb == "get":
            return _json(self._writer.existing(target))
        return self._write(request, verb, target, await request.read(), user)

    def _write(self, request: web.Request, verb: str, target: Target, body: bytes, user: str) -> web.Response:
        manager = request.query.get("fieldManager") or request.headers.get("User-Agent", "?").partition("/")[0]
        new = target.name and self.store.get(target.key) is None
        if verb in ("update", "patch") and new:
            rights.demand(self.store, user, "create", target.resource, target.namespace, target.name)
        status = 201 if verb == "create" or new else 200
        match verb:
            case "create":
                return _json(self._writer.create(target, parsed(body), manager), status)
            case "update":
                return _json(self._writer.update(target, parsed(body), manager), status)
            case "patch":
                return _json(self._writer.patch(target, request.content_type, body, request.query, manager), status)
            case "delete":
                return _json(self._writer.delete(target, parsed(body)))
            case "deletecollection":
                return _json(self._writer.delete_many(target, request.query))
        raise Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def _json(found: Object | list[Any], status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(found), content_type="application/json")
