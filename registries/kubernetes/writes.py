"""Writes of single objects: server-side apply, removal on condition, and what the API server's answers mean for us.

Every write of what is there demands the state that we have seen (`resourceVersion`), so that nobody's change is lost
unseen; every first write checks that it was one, for an apply also takes part in an object that somebody has just made.
"""

from contextlib import suppress
from typing import Final, TypeAlias

import msgspec

from pilot_plus.ports import Failed, Refused, SourceLost
from registries.kubernetes.client import Answer, Client
from registries.kubernetes.kinds import Kind
from registries.kubernetes.objects import AnyObject, Meta, read
from registries.kubernetes.shelf import Version, version_of

MANAGER: Final = "pilot-plus"
"""Our field manager: its fields are ours, and what others add to our objects stays theirs."""
_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
Body: TypeAlias = dict[str, object]


class Stale(Exception):  # noqa: N818 - an event of the domain, not a programming error
    """The object is not as we last saw it."""


class Declined(Exception):  # noqa: N818 - an answer, not a programming error
    """The API server does not do it; why, as a result."""

    def __init__(self, result: Refused | Failed) -> None:
        super().__init__(result.reason)
        self.result = result


class Writes:
    """Writes through one client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def apply(self, kind: Kind, namespace: str, body: Body, meta: Meta, seen: Version | None) -> Version:
        """Make an object be so, where it is as we have seen it (None: not there); its state then.

        Raises:
            Stale: it isn't.
            Declined: the API server refuses, or can't.
            SourceLost: it doesn't answer.
        """
        demanded = msgspec.structs.replace(meta, resource_version=seen.revision if seen else "")
        path = f"{kind.path(namespace)}/{meta.name}"
        answer = await self._patched(path, kind, {**body, "metadata": demanded}, forced=seen is not None)
        there = _meta_in(path, answer)
        if seen is None and answer.status == 200:
            await self._give_back(path, kind, there)
            raise Stale
        return version_of(there)

    async def declare(self, kind: Kind, namespace: str, body: Body, meta: Meta) -> Meta:
        """Make an object of ours be so, whatever it was.

        Raises:
            Stale, Declined, SourceLost: as with `apply`.
        """
        answer = await self._patched(
            f"{kind.path(namespace)}/{meta.name}", kind, {**body, "metadata": meta}, forced=True
        )
        return read(answer.body, AnyObject).metadata

    async def set(self, kind: Kind, namespace: str, body: Body, meta: Meta) -> bool:
        """Create an object, or replace the one with that `resourceVersion`; False where somebody was quicker.

        Raises:
            Declined, SourceLost: as with `apply`.
        """
        method, path = ("PUT", f"/{meta.name}") if meta.resource_version else ("POST", "")
        whole = msgspec.json.encode({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **body})
        answer = await self._client.ask(method, f"{kind.path(namespace)}{path}", {"fieldManager": MANAGER}, body=whole)
        try:
            judge(answer)
        except Stale:
            return False
        return True

    async def remove(self, kind: Kind, namespace: str, name: str, seen: Version) -> None:
        """Remove an object that is as we have seen it; one that isn't there is removed.

        Raises:
            Stale, Declined, SourceLost: as with `apply`.
        """
        conditions = {"uid": seen.uid, "resourceVersion": seen.revision}
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": conditions}
        path = f"{kind.path(namespace)}/{name}"
        answer = await self._client.ask("DELETE", path, body=msgspec.json.encode(body))
        if answer.status != 404:
            judge(answer)

    async def _patched(self, path: str, kind: Kind, body: Body, *, forced: bool) -> Answer:
        whole = msgspec.json.encode({"apiVersion": kind.api_version, "kind": kind.kind, **body})
        params = {"fieldManager": MANAGER, "force": "true" if forced else "false"}
        answer = await self._client.ask("PATCH", path, params, body=whole, content=_APPLY)
        if forced and answer.status == 404:
            raise Stale  # it has gone, or its namespace has, which the next try will tell
        judge(answer)
        return answer

    async def _give_back(self, path: str, kind: Kind, there: Meta) -> None:
        """Take our fields out of somebody's object that came between our look and our write.

        Where they can't be taken out nobody else has them: then it is one of ours, whose labels somebody has removed.
        """
        mine = Meta(there.name, there.namespace, resource_version=there.resource_version)
        with suppress(Declined):
            await self._patched(path, kind, {"metadata": mine}, forced=True)


def judge(answer: Answer) -> None:
    """Nothing, where an answer says that it is done.

    Raises:
        Stale: what it is about has changed.
        Declined: it says why it is not done.
    """
    if answer.status in (200, 201, 202):
        return
    if answer.status == 409:
        raise Stale
    is_ours = answer.status in (400, 401, 403, 404, 405, 413, 415, 422)
    raise Declined(Refused(answer.why) if is_ours else Failed(answer.why))


def is_there(answer: Answer) -> bool:
    """Whether an answer to a GET has found something.

    Raises:
        Declined: it says neither.
    """
    if answer.status == 404:
        return False
    judge(answer)
    return True


def _meta_in(path: str, answer: Answer) -> Meta:
    try:
        return read(answer.body, AnyObject).metadata
    except ValueError as error:
        raise SourceLost(f"{path}: the answer is no object: {error}") from error
