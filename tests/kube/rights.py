"""Who may do what: tokens name users, roles and bindings are objects, as with a real server's RBAC."""

from typing import Any

from tests.kube.resources import Resource
from tests.kube.status import Refusal, unauthorized
from tests.kube.store import Store

ADMIN = "admin"
"""The token, and the user, that may do everything."""
ANONYMOUS = "system:anonymous"


def user_of(header: str | None, tokens: dict[str, str]) -> str:
    """The user behind an Authorization header.

    Raises:
        Refusal: 401, the token is unknown.
    """
    if not header:
        return ANONYMOUS
    token = header.removeprefix("Bearer ")
    if token not in tokens:
        raise unauthorized()
    return tokens[token]


def demand(store: Store, user: str, verb: str, resource: Resource, namespace: str, name: str) -> None:
    """Refuse what no role allows.

    Raises:
        Refusal: 403.
    """
    if user == ADMIN or any(_allows(rule, verb, resource, name) for rule in _rules(store, user, namespace)):
        return
    whole = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
    what = f'{whole} "{name}"' if name else whole
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    raise Refusal(
        403,
        "Forbidden",
        f'{what} is forbidden: User "{user}" cannot {verb} resource "{resource.plural}" '
        f'in API group "{resource.group}" {where}',
        kind=resource.plural,
        group=resource.group,
    )


def _rules(store: Store, user: str, namespace: str) -> list[dict[str, Any]]:
    """The rules that hold for a user: of every binding to him, for the namespace or for all."""
    now = store.revision
    cluster_roles = {key.name: role for key, role in store.at(now, "clusterroles")}
    rules: list[dict[str, Any]] = []
    for _, binding in store.at(now, "clusterrolebindings"):
        if _binds(binding, user):
            rules += cluster_roles.get(binding["roleRef"]["name"], {}).get("rules") or ()
    if not namespace:
        return rules
    roles = {key.name: role for key, role in store.at(now, "roles", namespace)}
    for _, binding in store.at(now, "rolebindings", namespace):
        if _binds(binding, user):
            kind = cluster_roles if binding["roleRef"]["kind"] == "ClusterRole" else roles
            rules += kind.get(binding["roleRef"]["name"], {}).get("rules") or ()
    return rules


def _binds(binding: dict[str, Any], user: str) -> bool:
    names = {
        f"system:serviceaccount:{s['namespace']}:{s['name']}" if s["kind"] == "ServiceAccount" else s["name"]
        for s in binding.get("subjects") or ()
    }
    return user in names


def _allows(rule: dict[str, Any], verb: str, resource: Resource, name: str) -> bool:
    def has(key: str, value: str) -> bool:
        return value in rule.get(key, ()) or "*" in rule.get(key, ())

    fits = has("verbs", verb) and has("apiGroups", resource.group) and has("resources", resource.plural)
    return fits and (not rule.get("resourceNames") or name in rule["resourceNames"])
