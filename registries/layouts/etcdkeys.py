"""Keys of layouts that lie flat below a prefix: `<prefix>/<service>/<id>`, and what may not be written into one.

etcd knows no folders: a key is bytes, a prefix matches bytes. So a prefix is read with its `/` (`svc/`, for `svc` would
also match `svc2`), and a name that would need to be read as a path (`..`, an empty part) is never written.
"""

from typing import Final

from pilot_plus.model import Health, Instance
from registries.layouts.quoting import quoter

MAX_KEY: Final = 1024
"""Characters; a longer key is no service record's."""
_quoted: Final = quoter(":@+=~.,[]")


def as_root(prefix: str) -> str:
    """The prefix with the one `/` at its end that makes it a root; empty stays empty, the whole key space."""
    stripped = prefix.rstrip("/")
    return f"{stripped}/" if stripped else ""


def split_key(root: str, path: str) -> tuple[str, str]:
    """Service and id of `<root><service>/<id>`; the service may itself hold `/`.

    Raises:
        ValueError: one of them is missing, or the key is too long.
    """
    if len(path) > MAX_KEY:
        raise ValueError(f"the key has {len(path)} characters, more than {MAX_KEY}")
    service, _, last = path[len(root) :].rpartition("/")
    if not service or not last:
        raise ValueError("the key is not of the form PREFIX/SERVICE/ID")
    return service, last


def service_part(name: str) -> str:
    """A service's name as part of a key; a `/` in it is kept.

    Raises:
        ValueError: it has an empty part, or one that reads as a step in a path.
    """
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"service name {name[:100]!r} can't be a part of a key: it has an empty, '.' or '..' part")
    return name


def id_part(text: str) -> str:
    """An id as the last part of a key: everything that is not plain in a path is percent-encoded.

    Raises:
        ValueError: it is empty, or too long.
    """
    part = _quoted(text)
    if not part or part in (".", "..") or len(part) > 255:
        raise ValueError(f"id {text[:100]!r} can't be a part of a key")
    return part


def joined_key(root: str, *parts: str) -> str:
    """A whole key.

    Raises:
        ValueError: it would be too long to be read back.
    """
    key = root + "/".join(parts)
    if len(key) > MAX_KEY:
        raise ValueError(f"the key would have {len(key)} characters, more than {MAX_KEY}")
    return key


def refuse_unhealthy(instance: Instance) -> None:
    """A layout that says "present" only can't hold an instance that must not be called.

    Raises:
        ValueError: the instance is critical or draining.
    """
    if instance.health in (Health.CRITICAL, Health.DRAINING):
        raise ValueError(f"it is {instance.health}, and in this layout whatever is present is called")
