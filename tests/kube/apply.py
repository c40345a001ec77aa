"""Server-side apply and who owns which field, by the rules of Kubernetes' documentation.

A field is a path: maps are merged key by key, lists are taken whole (`listType=atomic`, as endpoints and ports of a
slice are), but for a Service's ports, which are merged by port and protocol.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec

from tests.kube.status import Refusal
from tests.kube.store import Object

Path = tuple[str, ...]
Fields = dict[Path, Any]
_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
_ATOMIC_MAPS = {("f:spec", "f:selector")}


def fields_of(found: Object) -> Fields:
    """All fields that can have an owner."""
    body = {key: value for key, value in found.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    meta = {key: value for key, value in found.get("metadata", {}).items() if key not in _IDENTITY}
    whole = {**body, "metadata": meta} if meta else body
    return dict(_leaves(whole, ())) if whole else {}


def applied(live: Object | None, config: Object, manager: str, *, force: bool) -> Object:
    """The object after one manager has applied what it wants.

    Raises:
        Refusal: 409, another manager owns a field that would change.
    """
    base = deepcopy(live) if live is not None else {k: deepcopy(config[k]) for k in ("apiVersion", "kind")}
    owners = owners_of(base)
    want, have, me = fields_of(config), fields_of(base), (manager, "Apply")
    conflicts = [
        (other, operation, path)
        for (other, operation), owned in owners.items()
        if (other, operation) != me
        for path in sorted(owned & want.keys())
        if have.get(path) != want[path]
    ]
    if conflicts and not force:
        raise _conflict(conflicts, base["apiVersion"])
    for other in owners:
        if other != me:
            owners[other] -= {path for _, _, path in conflicts}
    foreign = set().union(*(owned for other, owned in owners.items() if other != me))
    gone = owners.get(me, set()) - want.keys() - foreign
    for path in gone:
        have.pop(path, None)
    for item in {_item(path) for path in gone} - {_item(path) for path in want.keys() | foreign} - {()}:
        have = {path: value for path, value in have.items() if path[: len(item)] != item}  # what was filled in, too
    have.update(want)
    merged = _rebuilt(base, have, config)
    owners[me] = set(want)
    _note(merged, owners)
    return merged


def updated(live: Object | None, new: Object, manager: str) -> Object:
    """The object after a plain write, whose writer owns what it has changed."""
    merged = deepcopy(new)
    owners = owners_of(live or {})
    have, want, me = fields_of(live or {}), fields_of(new), (manager, "Update")
    changed = {path for path, value in want.items() if have.get(path) != value}
    for other in owners:
        owners[other] = {path for path in owners[other] if path in want and (path not in changed or other == me)}
    owners[me] = owners.get(me, set()) | changed
    _note(merged, owners)
    return merged


def owners_of(found: Object) -> dict[tuple[str, str], set[Path]]:
    """Manager and operation, and the fields that are theirs."""
    return {
        (entry["manager"], entry["operation"]): set(_paths(entry["fieldsV1"], ()))
        for entry in found.get("metadata", {}).get("managedFields", ())
    }


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if path[-2:] == ("f:spec", "f:ports") and isinstance(value, list):
        for port in value:
            key = {"port": port["port"], "protocol": port.get("protocol", "TCP")}
            yield from _leaves(port, (*path, "k:" + msgspec.json.encode(key).decode()))
    elif isinstance(value, dict) and value and path not in _ATOMIC_MAPS:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, f"f:{key}"))
    else:
        yield path, value


def _item(path: Path) -> Path:
    """The item of a list in which a field is; empty where it is in none."""
    number = next((number for number, step in enumerate(path) if step.startswith("k:")), -1)
    return path[: number + 1]


def _rebuilt(base: Object, fields: Fields, config: Object) -> Object:
    rebuilt: dict[str, Any] = {}
    for path, value in fields.items():
        inner = rebuilt
        for step in path[:-1]:
            inner = inner.setdefault(step[2:] if step.startswith("f:") else step, {})
        inner[path[-1][2:] if path[-1].startswith("f:") else path[-1]] = deepcopy(value)
    ports = rebuilt.get("spec", {}).get("ports") if isinstance(rebuilt.get("spec"), dict) else None
    if isinstance(ports, dict):
        rebuilt["spec"]["ports"] = list(ports.values())
    identity = {k: v for k, v in {**config["metadata"], **base.get("metadata", {})}.items() if k in _IDENTITY}
    rebuilt["metadata"] = {**identity, **rebuilt.get("metadata", {})}
    kept: Object = {key: base[key] for key in ("apiVersion", "kind", "status") if key in base}
    return {**kept, **rebuilt}


def _paths(fields: dict[str, Any], path: Path) -> Iterator[Path]:
    for key, inner in fields.items():
        if inner:
            yield from _paths(inner, (*path, key))
        else:
            yield (*path, key)


def _note(found: Object, owners: dict[tuple[str, str], set[Path]]) -> None:
    entries = []
    for (manager, operation), owned in owners.items():
        if not owned:
            continue
        fields: dict[str, Any] = {}
        for path in sorted(owned):
            inner = fields
            for step in path:
                inner = inner.setdefault(step, {})
        entries.append(
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": found["apiVersion"],
                "fieldsType": "FieldsV1",
                "fieldsV1": fields,
            }
        )
    found["metadata"]["managedFields"] = entries


def _conflict(conflicts: list[tuple[str, str, Path]], api_version: str) -> Refusal:
    whose = [
        f'"{manager}"' + (f" using {api_version}" if operation == "Update" else "")
        for manager, operation, _ in conflicts
    ]
    fields = [_text(path) for _, _, path in conflicts]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": field}
        for who, field in zip(whose, fields, strict=True)
    ]
    if len(causes) == 1:
        return Refusal(
            409, "Conflict", f"Apply failed with 1 conflict: conflict with {whose[0]}: {fields[0]}", causes=causes
        )
    lines = [
        line
        for who in dict.fromkeys(whose)
        for line in (f"conflicts with {who}:", *(f"- {f}" for w, f in zip(whose, fields, strict=True) if w == who))
    ]
    return Refusal(409, "Conflict", f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines), causes=causes)


def _text(path: Path) -> str:
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{step[2:]}]" for step in path)
