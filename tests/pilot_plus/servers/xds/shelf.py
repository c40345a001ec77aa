"""A supply whose resources a test puts there itself, the same for every profile."""

from collections.abc import Iterator, Mapping, Set

from pilot_plus.servers.xds.forms import WHOLE
from pilot_plus.views.xds.profile import Profile
from pilot_plus.views.xds.resource import Resource, Type, resource
from pilot_plus.views.xds.supply import Changes


class Shelf:
    """Supply and supplies in one."""

    def __init__(self) -> None:
        self.mark = 0
        self.forgets_before = 0
        self.broken: set[str] = set()
        """Names that can't be made, because of a defect."""
        self.asked: list[Profile] = []
        self.forgotten: list[Profile] = []
        self._of: dict[Type, dict[str, Resource]] = {type_: {} for type_ in Type}
        self._log: list[tuple[int, Type, str]] = []

    def put(self, type_: Type, **contents: str) -> None:
        """Resources by name; the body holds the content in a field of every message: the first, a text."""
        for name, content in contents.items():
            text = content.encode()
            body = b"\x0a" + bytes((len(text),)) + text if len(text) < 128 else text
            self._note(type_, name)
            self._of[type_][name] = resource(name, body)

    def drop(self, type_: Type, *names: str) -> None:
        for name in names:
            self._note(type_, name)
            del self._of[type_][name]

    def get(self, type_: Type, name: str) -> Resource | None:
        if name in self.broken:
            raise ZeroDivisionError(name)
        return self._of[type_].get(name)

    def names(self, type_: Type) -> Set[str]:
        return self._of[type_].keys() if type_ in WHOLE else frozenset()

    def prepare(self, type_: Type) -> Iterator[None]:
        """Everything is there."""
        return iter(())

    def since(self, mark: int) -> Changes | None:
        if mark < self.forgets_before:
            return None
        changes: dict[Type, set[str]] = {}
        for at, type_, name in self._log:
            if at > mark:
                changes.setdefault(type_, set()).add(name)
        return changes

    def of(self, profile: Profile) -> "Shelf":
        self.asked.append(profile)
        return self

    def forget(self, profile: Profile) -> None:
        self.forgotten.append(profile)

    def versions(self, type_: Type) -> Mapping[str, str]:
        return {name: one.version for name, one in self._of[type_].items()}

    def _note(self, type_: Type, name: str) -> None:
        self.mark += 1
        self._log.append((self.mark, type_, name))
