"""Raw records into updates: which layout reads a key, and what a change of it means. Pure.

A record mostly says one instance, whose key is the record's own. Where it says several, the keys that it said last are
kept, so that a changed record drops those that it says no more.

After `Resumed` the past of a record isn't known: the first news of it also takes back what may have been said.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from pilot_plus.model import Drop, Instance, Put, Service, Skipped, Update
from registries.layouts.layout import Decoded, Layout, Raw

MAX_PLACE = 512


class Records:
    """What is known of each record between two updates: little more than its keys."""

    def __init__(self, layouts: Sequence[Layout], *, past_is_known: bool = True) -> None:
        self._readers = tuple((layout.root, layout.decode) for layout in layouts)
        self._only = self._readers[0][1] if len(self._readers) == 1 else None
        self._past_is_known = past_is_known
        self._plain: set[str] = set()  # records that say one, under their own key
        self._several: dict[str, tuple[str, ...]] = {}  # records that say something else, and the keys of that
        self._skipped: set[str] = set()  # places

    def take(self, path: bytes, data: bytes, found: list[Instance | Service], skips: list[Skipped]) -> None:
        """Read a record of a list: what it says goes to `found`, or why it says nothing to `skips`."""
        try:
            text = path.decode()
            said = self._only(Raw(text, data)) if self._only else self._decode(text, data)
        except ValueError as error:
            skips.append(self._skip(path, error))
            return
        if len(said) == 1 and said[0].key == text:
            self._plain.add(text)
        elif said:
            self._several[text] = tuple(record.key for record in said)
        found.extend(said)

    def put(self, path: bytes, data: bytes) -> Iterable[Update]:
        """The record was written: what it says now before what it says no more."""
        try:
            text = path.decode()
            said = self._decode(text, data)
        except ValueError as error:
            return [*(Drop(key) for key in self._forget(_text(path))), self._skip(path, error)]
        taken_back = self._taken_back(path, text)
        before = self._forget(text)
        now = tuple(record.key for record in said)
        if now == (text,):
            self._plain.add(text)
        elif now:
            self._several[text] = now
        return [*(Put(record) for record in said), *(Drop(key) for key in before if key not in now), *taken_back]

    def delete(self, path: bytes) -> Iterable[Update]:
        """The record is gone."""
        text = _text(path)
        taken_back = self._taken_back(path, text)
        return [*(Drop(key) for key in self._forget(text)), *taken_back]

    def _decode(self, path: str, data: bytes) -> Decoded:
        """What the first layout whose record it is says.

        Raises:
            ValueError: a layout holds it for its own, and can't read it, and no other can.
        """
        raw, trouble = Raw(path, data), None
        for root, decode in self._readers:
            if not path.startswith(root):
                continue
            try:
                said = decode(raw)
            except ValueError as error:
                trouble = trouble or error
                continue
            if said:
                return said
        if trouble is not None:
            raise trouble
        return ()

    def _forget(self, path: str) -> tuple[str, ...]:
        """The keys that the record said last."""
        if path in self._plain:
            self._plain.remove(path)
            return (path,)
        return self._several.pop(path, () if self._past_is_known else (path,))

    def _skip(self, path: bytes, error: ValueError) -> Skipped:
        place = _place(path)
        self._skipped.add(place)
        return Skipped(place, str(error))

    def _taken_back(self, path: bytes, text: str) -> Iterable[Skipped]:
        place = _place(path)
        if place in self._skipped:
            self._skipped.remove(place)
        elif self._past_is_known or text in self._plain or text in self._several:
            return ()
        return (Skipped(place, ""),)


def _text(path: bytes) -> str:
    return path.decode(errors="backslashreplace")


def _place(path: bytes) -> str:
    """Where a record lies, for people: printable, bounded, and different for different keys."""
    text = _text(path)
    if not text.isprintable():
        text = ascii(text)[1:-1]
    if len(text) > MAX_PLACE:
        return f"{text[: MAX_PLACE - 40]}…{sha256(path).hexdigest()[:32]}"
    return text
