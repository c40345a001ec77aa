"""Create, update, patch, delete."""

from collections.abc import Mapping
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import yaml

from tests.kube.apply import applied, updated
from tests.kube.resources import resources
from tests.kube.rules import MAX_OBJECT, check, fill_in
from tests.kube.selectors import selects
from tests.kube.status import Refusal, bad_request, exists, modified, not_found
from tests.kube.store import Key, Object, Store
from tests.kube.target import Target

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


class Writer:
    """Changes of the store, as the API makes them."""

    def __init__(self, store: Store, *, special_addresses: bool) -> None:
        self._store = store
        self._special_addresses = special_addresses

    def create(self, target: Target, new: Object, manager: str) -> Object:
        """POST."""
        meta = new.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid4().hex[:5]
        target = self._placed(target, new)
        if self._store.get(target.key) is not None:
            raise exists(target.resource.plural, target.resource.group, target.name)
        if meta.get("resourceVersion"):
            raise Refusal(500, "InternalError", "resourceVersion should not be set on objects to be created")
        return self._written(target, updated(None, self._filled(target, new), manager), None)

    def update(self, target: Target, new: Object, manager: str) -> Object:
        """PUT."""
        target = self._placed(target, new)
        old = self._store.get(target.key)
        if old is None:
            if target.resource.create_on_update:
                return self.create(target, new, manager)
            raise not_found(target.resource.plural, target.resource.group, target.name)
        version = new["metadata"].get("resourceVersion")
        if not version and not target.resource.blind_update:
            why = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
            raise Refusal(422, "Invalid", f'{target.resource.plural} "{target.name}" is invalid: {why}')
        if version and version != old["metadata"]["resourceVersion"]:
            raise modified(target.resource.plural, target.resource.group, target.name)
        new["metadata"] |= {key: old["metadata"][key] for key in ("uid", "creationTimestamp")}
        return self._written(target, updated(old, self._filled(target, new), manager), old)

    def patch(self, target: Target, content: str, body: bytes, query: Mapping[str, str], manager: str) -> Object:
        """PATCH, as server-side apply or as JSON merge patch."""
        if content == APPLY:
            return self._apply(target, body, query)
        if content != MERGE:
            raise Refusal(415, "UnsupportedMediaType", "the body of the request was in an unknown format")
        old = self.existing(target)
        return self.update(target, _merged(deepcopy(old), parsed(body)), manager)

    def delete(self, target: Target, options: Object) -> Object:
        """DELETE of one object."""
        old = self.existing(target)
        wanted = options.get("preconditions") or {}
        for field in ("uid", "resourceVersion"):
            if wanted.get(field) and wanted[field] != old["metadata"][field]:
                raise modified(target.resource.plural, target.resource.group, target.name)
        self._remove(target.key)
        return SUCCESS

    def delete_many(self, target: Target, query: Mapping[str, str]) -> Object:
        """DELETE of a collection."""
        for key, found in list(self._store.at(self._store.revision, target.resource.plural, target.namespace)):
            if selects(query, found):
                self._remove(key)
        return SUCCESS

    def existing(self, target: Target) -> Object:
        """An object that has to be there."""
        found = self._store.get(target.key)
        if found is None:
            raise not_found(target.resource.plural, target.resource.group, target.name)
        return found

    def _apply(self, target: Target, body: bytes, query: Mapping[str, str]) -> Object:
        manager = query.get("fieldManager")
        if not manager:
            raise bad_request("PatchOptions is invalid: fieldManager: Required value: is required for apply patch")
        config = parsed(body) if body.startswith(b"{") else yaml.safe_load(body)  # JSON is YAML, and read faster
        target = self._placed(target, config)
        old = self._store.get(target.key)
        version = config["metadata"].pop("resourceVersion", None)
        if version and old is not None and old["metadata"]["resourceVersion"] != version:
            raise modified(target.resource.plural, target.resource.group, target.name)
        for port in (config.get("spec") or {}).get("ports") or ():
            port.setdefault("protocol", "TCP")  # a part of the key by which ports are merged
        new = applied(old, config, manager, force=query.get("force") in ("true", "1"))
        return self._written(target, self._filled(target, new), old)

    def _remove(self, key: Key) -> None:
        gone = self._store.get(key)
        self._store.put(key, None)
        if gone is not None:
            self._collect(gone["metadata"]["uid"], key.namespace)
        if key.resource == "namespaces":
            for plural in {resource.plural for resource in resources(self._store) if resource.namespaced}:
                for inner, _ in list(self._store.at(self._store.revision, plural, key.name)):
                    self._store.put(inner, None)

    def _collect(self, uid: str, namespace: str) -> None:
        """What the garbage collector does a moment later: remove what has lost its last owner."""
        for resource in resources(self._store):
            for key, found in list(self._store.at(self._store.revision, resource.plural, namespace)):
                owners = [owner["uid"] for owner in found["metadata"].get("ownerReferences") or ()]
                if uid in owners and len(owners) == 1:
                    self._remove(key)

    def _placed(self, target: Target, new: Object) -> Target:
        """The target with the names that the object says, which have to be those of the URL."""
        resource, meta = target.resource, new.get("metadata") or {}
        said = (new.get("kind") or resource.kind, new.get("apiVersion") or resource.api_version)
        if said != (resource.kind, resource.api_version):
            raise bad_request(f"the object provided is unrecognized: expected {resource.kind} {resource.api_version}")
        name = meta.get("name") or target.name
        if not name:
            raise bad_request("name or generateName is required")
        if target.name and name != target.name:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
        if (meta.get("namespace") or target.namespace) != target.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if resource.namespaced and self._store.get(Key("namespaces", "", target.namespace)) is None:
            raise not_found("namespaces", "", target.namespace)
        return Target(resource, target.namespace, name)

    def _filled(self, target: Target, new: Object) -> Object:
        meta = new["metadata"]
        meta["name"] = target.name
        if target.resource.namespaced:
            meta["namespace"] = target.namespace
        meta.setdefault("uid", str(uuid4()))
        meta.setdefault("creationTimestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        new["kind"], new["apiVersion"] = target.resource.kind, target.resource.api_version
        fill_in(target.resource, new, self._store)
        return new

    def _written(self, target: Target, new: Object, old: Object | None) -> Object:
        check(target.resource, new, old, special_addresses=self._special_addresses)
        if old is not None:
            new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            if new == old:
                return old  # nothing changed: no revision, no event
        self._store.put(target.key, new)
        return new


def parsed(body: bytes) -> Object:
    """An object from a request.

    Raises:
        Refusal: it is too large, or none.
    """
    if len(body) > MAX_OBJECT:
        raise Refusal(500, "InternalError", "etcdserver: request is too large")
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error


def _merged(live: Object, patch: Object) -> Object:
    """JSON merge patch (RFC 7396)."""
    for key, value in patch.items():
        if value is None:
            live.pop(key, None)
        elif isinstance(value, dict) and isinstance(live.get(key), dict):
            _merged(live[key], value)
        else:
            live[key] = value
    return live
