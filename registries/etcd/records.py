"""Raw records into updates: which layout reads a key, and what a change of it means. Pure.

In most layouts a record says one instance, under the record's own key: then all that is kept is that it does. The
others, where a change can't be told without the past, are kept in `claims`.

After `Resumed` the past of a record isn't known: the first news of it also takes back what may have been said.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

import msgspec

from pilot_plus.model import Drop, Put, Skipped, Update
from registries.etcd.claims import Claims, Record
from registries.layouts.dubbo_rules import Override
from registries.layouts.layout import Layout, Raw

MAX_PLACE = 512


class Reader(msgspec.Struct, frozen=True):
    """A layout, as it is used here."""

    root: str
    decode: Callable[[Raw], Sequence[Record]]
    rule: Callable[[Raw], Override | None] | None
    is_plain: bool
    """A record says one instance under its own key, or nothing."""


def reader_of(layout: Layout, *, is_plain: bool) -> Reader:
    """How to use a layout; one with a method `rule` has records that change what others say."""
    return Reader(layout.root, layout.decode, getattr(layout, "rule", None), is_plain)


class Records:
    """What is known of each record between two updates."""

    def __init__(self, readers: Sequence[Reader], *, past_is_known: bool = True) -> None:
        self._readers = readers
        self._only = readers[0].decode if len(readers) == 1 and readers[0].is_plain else None
        self._past_is_known = past_is_known
        self._plain: set[str] = set()
        self._claims = Claims()
        self._skipped: set[str] = set()  # places

    def take(self, path: bytes, data: bytes, found: list[Record], skips: list[Skipped]) -> None:
        """Read a record of a list: what it says goes to `found`, or why it says nothing to `skips`."""
        try:
            text = path.decode()
            said: Sequence[Record]
            if self._only is None:
                said = [update.record for update in self._read(text, data) if isinstance(update, Put)]
                if text not in self._plain:
                    return  # `claimed` has it
            else:
                said = self._only(Raw(text, data))
                if said:
                    self._plain.add(text)
        except ValueError as error:
            skips.append(self._skip(path, error))
            return
        found += said

    def claimed(self) -> Iterable[Record]:
        """What the records of a list said that `take` hasn't handed out: no key stands twice in it."""
        return self._claims.all()

    def places(self, key: str) -> Sequence[str]:
        """The records that speak for a key which isn't the key of one, the one that counts first."""
        return [path for path in self._claims.claimants(key) if path != key]

    def put(self, path: bytes, data: bytes) -> Iterable[Update]:
        """The record was written: what it says now before what it says no more."""
        taken_back = self._taken_back(path)
        try:
            return [*self._read(path.decode(), data), *taken_back]
        except ValueError as error:
            return [*self._forget(_text(path)), self._skip(path, error)]

    def delete(self, path: bytes) -> Iterable[Update]:
        """The record is gone."""
        taken_back = self._taken_back(path)
        return [*self._forget(_text(path)), *taken_back]

    def _read(self, path: str, data: bytes) -> Iterable[Update]:
        """What the first layout whose record it is says, in the place of what it said before.

        Raises:
            ValueError: a layout holds it for its own, and can't read it, and no other can.
        """
        raw, trouble = Raw(path, data), None
        for reader in self._readers:
            if not path.startswith(reader.root):
                continue
            try:
                said = reader.decode(raw)
                rule = reader.rule(raw) if reader.rule and not said else None
            except ValueError as error:
                trouble = trouble or error
                continue
            if said or rule:
                return self._replace(path, said, rule, is_plain=reader.is_plain)
        if trouble is not None:
            raise trouble
        return self._forget(path)

    def _replace(self, path: str, said: Sequence[Record], rule: Override | None, *, is_plain: bool) -> Iterable[Update]:
        if is_plain:
            before = self._claims.put(path, ())
            self._plain.add(path)
            return [*(Put(record) for record in said), *before]
        before = [Drop(path)] if path in self._plain else []
        self._plain.discard(path)
        return [*self._claims.put_rule(path, rule), *self._claims.put(path, said), *before]

    def _forget(self, path: str) -> Iterable[Update]:
        """The record says nothing any more."""
        if path in self._plain or not (self._past_is_known or path in self._claims):
            self._plain.discard(path)
            return (Drop(path),)
        return [*self._claims.put_rule(path, None), *self._claims.put(path, ())]

    def _skip(self, path: bytes, error: ValueError) -> Skipped:
        place = _place(path)
        self._skipped.add(place)
        return Skipped(place, str(error))

    def _taken_back(self, path: bytes) -> Iterable[Skipped]:
        """The end of a skip, if the record was skipped, or may have been before we were there."""
        place = _place(path)
        if place in self._skipped:
            self._skipped.remove(place)
        elif self._past_is_known or _text(path) in self._plain:
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
