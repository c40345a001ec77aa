"""Label and field selectors, as `kubectl -l` and `--field-selector` write them."""

import re
from collections.abc import Mapping

from tests.kube.status import bad_request
from tests.kube.store import Object

_REQUIREMENT = re.compile(
    r"\s*(!?)\s*([^\s=!,()]+)\s*(?:(=|==|!=)\s*([^\s,()]*)|\s+(in|notin)\s*\(([^)]*)\))?\s*(?:,|$)"
)


def selects(query: Mapping[str, str], found: Object) -> bool:
    """Whether the selectors of a request match an object."""
    meta = found["metadata"]
    fields = {"metadata.name": meta["name"], "metadata.namespace": meta.get("namespace", "")}
    return _matches(query.get("labelSelector", ""), meta.get("labels") or {}) and _matches(
        query.get("fieldSelector", ""), fields
    )


def _matches(selector: str, labels: Mapping[str, str]) -> bool:
    position = 0
    while position < len(selector):
        match = _REQUIREMENT.match(selector, position)
        if not match:
            raise bad_request(f"unable to parse requirement: found {selector[position:]!r}")
        if not _holds(match, labels):
            return False
        position = match.end()
    return True


def _holds(match: re.Match[str], labels: Mapping[str, str]) -> bool:
    negated, key, operator, value, word, values = match.groups()
    has = labels.get(key)
    if word:
        inside = has in {v.strip() for v in values.split(",")}
        return inside if word == "in" else not inside
    if operator in ("=", "=="):
        return has == value
    if operator == "!=":
        return has != value
    return (has is None) == bool(negated)
