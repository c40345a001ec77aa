"""How the API says that something failed, in the words of a real server."""

from typing import Any

import msgspec


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details
        self.next_page = ""

    def status(self) -> dict[str, Any]:
        """The `Status` object."""
        metadata = {"continue": self.next_page} if self.next_page else {}
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        return {**status, "details": self.details} if self.details else status

    def body(self) -> bytes:
        """The same as JSON."""
        return msgspec.json.encode(self.status())


class Cause(msgspec.Struct, frozen=True):
    """One thing that is wrong with an object."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


def cause(field: str, value: object, why: str) -> Cause:
    """An invalid value."""
    return Cause(field, f"Invalid value: {msgspec.json.encode(value).decode()}: {why}")


def required(field: str, why: str = "") -> Cause:
    """A missing value."""
    return Cause(field, "Required value" + (f": {why}" if why else ""), "FieldValueRequired")


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> Refusal:
    """422: the object breaks the rules of its kind."""
    whole = f"{kind}.{group}" if group else kind
    parts = [f"{c.field}: {c.message}" for c in causes]
    text = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    return Refusal(
        422,
        "Invalid",
        f'{whole} "{name}" is invalid: {text}',
        name=name,
        group=group,
        kind=kind,
        causes=[msgspec.to_builtins(c) for c in causes],
    )


def not_found(resource: str, group: str, name: str) -> Refusal:
    """404 for an object."""
    whole = f"{resource}.{group}" if group else resource
    return Refusal(404, "NotFound", f'{whole} "{name}" not found', name=name, group=group, kind=resource)


def no_such_path() -> Refusal:
    """404 for a resource that the server doesn't serve."""
    return Refusal(404, "NotFound", "the server could not find the requested resource")


def exists(resource: str, group: str, name: str) -> Refusal:
    """409 for a create."""
    whole = f"{resource}.{group}" if group else resource
    return Refusal(409, "AlreadyExists", f'{whole} "{name}" already exists', name=name, group=group, kind=resource)


def modified(resource: str, group: str, name: str) -> Refusal:
    """409 for an update of what has changed meanwhile."""
    whole = f"{resource}.{group}" if group else resource
    return Refusal(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {whole} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        name=name,
        group=group,
        kind=resource,
    )


def too_old(asked: int, oldest: int) -> Refusal:
    """410 for a watch."""
    return Refusal(410, "Expired", f"too old resource version: {asked} ({oldest})")


def list_too_old() -> Refusal:
    """410 for a list at a revision that is gone."""
    return Refusal(410, "Expired", "The resourceVersion for the provided list is too old.")


def page_too_old(token: str) -> Refusal:
    """410 for a page of a list that began too long ago."""
    refusal = Refusal(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    refusal.next_page = token
    return refusal


def too_new(asked: int, now: int) -> Refusal:
    """504 for a list at a revision that does not exist yet."""
    return Refusal(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {now}",
        causes=[{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        retryAfterSeconds=1,
    )


def bad_request(message: str) -> Refusal:
    """400."""
    return Refusal(400, "BadRequest", message)


def unauthorized() -> Refusal:
    """401."""
    return Refusal(401, "Unauthorized", "Unauthorized")
