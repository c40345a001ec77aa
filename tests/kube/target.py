"""What a request is about, and what it wants: the API's URLs."""

import re

import msgspec
from aiohttp import web

from tests.kube.resources import Resource, resources
from tests.kube.status import no_such_path
from tests.kube.store import Key, Object, Store

_PATH = re.compile(r"(/api/[^/]+|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+))?")


class Target(msgspec.Struct, frozen=True):
    """A kind of object in a namespace (or in all), or one object."""

    resource: Resource
    namespace: str
    name: str

    @property
    def key(self) -> Key:
        """Where it lies."""
        return Key(self.resource.plural, self.namespace, self.name)


def target_of(store: Store, path: str) -> Target:
    """What a path means.

    Raises:
        Refusal: 404, nothing that is served here.
    """
    match = _PATH.fullmatch(path)
    if not match:
        raise no_such_path()
    root, namespace, plural, name = match.groups()
    for resource in resources(store):
        if resource.root == root and resource.plural == plural and (resource.namespaced or not namespace):
            return Target(resource, namespace or "", name or "")
    raise no_such_path()


def verb_of(request: web.Request, target: Target) -> str:
    """What a request wants, in the words of RBAC."""
    single = bool(target.name)
    match request.method:
        case "GET" if single:
            return "get"
        case "GET":
            return "watch" if request.query.get("watch") in ("true", "1") else "list"
        case "POST" if not single:
            return "create"
        case "PUT" if single:
            return "update"
        case "PATCH" if single:
            return "patch"
        case "DELETE":
            return "delete" if single else "deletecollection"
    return request.method.lower()


def discovery(store: Store, path: str) -> Object | None:
    """What the server says of itself at a path; None where nothing is."""
    if path == "/version":
        return {"major": "1", "minor": "33", "gitVersion": "v1.33.0-fake"}
    if path in ("/livez", "/readyz", "/healthz"):
        return {"status": "ok"}
    here = [resource for resource in resources(store) if resource.root == path]
    if not here:
        return None
    entries = [{"name": r.plural, "kind": r.kind, "namespaced": r.namespaced} for r in here]
    listing = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": here[0].api_version}
    return {**listing, "resources": entries}
