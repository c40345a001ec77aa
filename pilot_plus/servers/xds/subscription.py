"""A subscription: what one client wants of one type, holds, was sent and has rejected. Pure, for both forms of xDS.

    request         names are wanted, or not any more; what the client holds already is noted
    touch           the supply says that something may have changed
    next            the difference between what is wanted and what is held, as far as it may be sent now
    answer          the one response that was out is accepted or rejected

There is never more than one response out: what changes meanwhile is looked at when it is answered, so a slow client
gets the newest and nothing in between.

What is rejected stays with the client as it accepted it last, and is not sent again before it changes: see `rejection`.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from pilot_plus.servers.xds.forms import WHOLE, Form, version_of
from pilot_plus.servers.xds.rejection import Rejection, parts_of, rejection_of, suspected
from pilot_plus.servers.xds.requests import DeltaRequest, StateRequest
from pilot_plus.servers.xds.wanted import Follows, Wanted
from pilot_plus.views.xds.resource import Resource, Type
from pilot_plus.views.xds.supply import Supply

log = logging.getLogger(__name__)

FEW: Final = 25
"""Resources that may be made without a pause."""
MOST: Final = 2000
MOST_BYTES: Final = 2 << 20
"""How much a response holds where it may be divided: clients of gRPC take 4 MiB unless told otherwise."""


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A response to be sent: what is new in it."""

    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()
    state: tuple[Resource, ...] = ()
    """In the form of the state of the world: all that it holds."""
    version: str = ""
    """In that form, of the client's state after it."""


class Subscription:
    """One client's subscription to one type."""

    def __init__(self, type_: Type, form: Form, follows: Follows) -> None:
        self.type = type_
        self.wanted = Wanted(type_, follows)
        self.held: dict[str, Resource] = {}
        """What the client has accepted. The body is empty where all that is known is a version that it named."""
        self.rejected: dict[str, Rejection] = {}
        self.last_rejection: Rejection | None = None
        self.sent: Sent | None = None
        """What is out, and not answered yet."""
        self.sent_at = 0.0
        self.changed_at = 0.0
        """When the client last accepted something."""
        self.nonce = ""
        self._form = form
        self._has_begun = False
        self._is_legacy = False
        """Everything is wanted because nothing was named in the first request."""
        self._is_blind = False
        """The client came with a state that is not known here."""
        self._must_answer = False
        self._asked: set[str] = set()
        """Names to be answered for, whether or not anything is new."""
        self._touched: set[str] = set()
        self._compares_all = False
        self._gone: set[str] = set()
        """Held, and not there any more: goes last."""
        self._absent: set[str] = set()
        """Wanted, not there, and the client knows."""
        self._suspects: list[tuple[str, ...]] = []
        """Names that were in a rejected response, in the parts in which they are tried again."""

    def __repr__(self) -> str:
        """Say where it stands."""
        out = f", {len(self.sent.resources)} out" if self.sent else ""
        return f"<Subscription {self.type.name}: {len(self.held)} held, {len(self.rejected)} rejected{out}>"

    # ---------------------------------------------------------------------------------------- what the client says

    def request_delta(self, request: DeltaRequest) -> None:
        """Take in what is wanted, in the delta form."""
        is_first, self._has_begun = not self._has_begun, True
        if not (is_first or request.subscribe or request.unsubscribe):
            return
        if is_first:
            self.held.update({name: Resource(name, version, b"") for name, version in request.versions.items()})
        if "*" in request.subscribe or (is_first and not request.subscribe and self.type in WHOLE):
            self._want_all(yes=True)
            self._must_answer = not request.versions
        for name in request.subscribe - {"*"}:
            if is_first and name in self.held:
                self._touched.add(name)
            else:
                self._ask_again(name)
        self.wanted.add(request.subscribe - {"*"})
        self._unwant(request.unsubscribe - {"*"})
        if "*" in request.unsubscribe:
            self._want_all(yes=False)
        if is_first and not self.wanted.is_everything:
            self.held = {name: one for name, one in self.held.items() if name in self.wanted.names}

    def request_state(self, request: StateRequest, supply: Supply, *, is_answer: bool) -> None:
        """Take in all that is wanted, in the form of the state of the world. `is_answer`: it answered a response."""
        is_first, self._has_begun = not self._has_begun, True
        names = request.names - {"*"}
        self._is_legacy = not request.names and self.type in WHOLE and (is_first or self._is_legacy)
        added, removed = names - self.wanted.names, self.wanted.names - names
        wants_all = self._is_legacy or "*" in request.names
        if wants_all != self.wanted.is_everything:
            self._want_all(yes=wants_all)
            self._must_answer = wants_all
        self._unwant(removed)
        self.wanted.add(added)
        self._asked |= added
        if is_first:
            self._begin_state(request.version, supply)
        elif not (added or removed or is_answer or self.sent or request.error is not None):
            self._asked |= self.wanted.names  # it asks again for what it has: to warm something anew
            self._must_answer = self.wanted.is_everything

    def answer(self, nonce: str, error: str | None, now: float) -> bool:
        """Take an answer to a response: accepted, or rejected with an error; whether it is one to what is out."""
        sent = self.sent
        if sent is None or nonce != self.nonce:
            return False
        self.sent = None
        for name in sent.removed:
            self.held.pop(name, None)
            if name in self.wanted.names:
                self._absent.add(name)
        if error is None:
            self._accept(sent.resources, now)
        else:
            self._reject(sent, error, now)
        return True

    def _begin_state(self, version: str, supply: Supply) -> None:
        """A client that comes back says the version of all that it holds: the same as ours, or unknown."""
        wanted = self.wanted.of(supply) if version else ()
        current = {name: one for name in wanted if (one := supply.get(self.type, name))}
        if version and version == version_of(current, self.wanted.names):
            self.held = current
            self._asked.clear()
            self._must_answer = self._compares_all = False
            return
        self._is_blind = bool(version)
        self._must_answer = self.type in WHOLE

    def _unwant(self, names: AbstractSet[str]) -> None:
        for name in self.wanted.remove(names):
            self._absent.discard(name)
            self._asked.discard(name)
            if self.wanted.is_everything:
                self._ask_again(name)  # it may still be wanted with all the others: say so
            else:
                self._let_go(name)

    def _want_all(self, *, yes: bool) -> None:
        self.wanted.want_everything(yes=yes)
        self._compares_all = yes
        if not yes:
            for name in [name for name in self.held if name not in self.wanted.names]:
                self._let_go(name)

    def _let_go(self, name: str) -> None:
        self.held.pop(name, None)
        self.rejected.pop(name, None)
        self._touched.discard(name)
        self._gone.discard(name)

    def _ask_again(self, name: str) -> None:
        self._asked.add(name)
        self._absent.discard(name)
        self.rejected.pop(name, None)

    def _accept(self, resources: Sequence[Resource], now: float) -> None:
        self.changed_at = now
        for one in resources:
            self.rejected.pop(one.name, None)
            self._absent.discard(one.name)
            if one.name in self.wanted:
                self.held[one.name] = one

    def _reject(self, sent: Sent, error: str, now: float) -> None:
        news = sent.resources
        self.last_rejection = rejection_of(news, error, now)
        guilty = suspected(news, error)
        if self._is_blind and not self.held:
            # What it holds is not known, so nothing may be left out to find the guilty. Both Envoy and gRPC take what
            # is right of a state and keep what they had of the rest.
            guilty = guilty or list(news)
            self._accept([one for one in news if one not in guilty], now)
        elif len(news) > 1:
            self._suspects[:0] = parts_of(news, guilty)
            return
        for one in guilty or news:
            self.rejected[one.name] = Rejection(one.version, error, now)

    # ---------------------------------------------------------------------------------------- what the hub says

    def touch(self, names: Iterable[str] | None) -> None:
        """These may have changed; None: anything may have."""
        if names is None:
            self._compares_all = True
        else:
            self._touched.update(names)

    def repeat(self, names: Iterable[str]) -> None:
        """Send these again though they haven't changed, as far as they are wanted, now or as soon as they are."""
        self._asked.update(names)

    @property
    def is_searching(self) -> bool:
        """Whether the guilty one of a rejected response is still being found."""
        return bool(self._suspects)

    def pending(self, supply: Supply) -> Collection[str]:
        """The names that `next` will look at, or at first, where they are more than a few."""
        if self.sent is not None:
            return ()
        if self._compares_all:
            return self.wanted.of(supply)
        if len(self._asked) + len(self._touched) <= FEW:
            return ()
        names = self._asked | self._touched
        return names if len(names) <= MOST or self._holds_all else sorted(names)[:MOST]

    def has_news(self) -> bool:
        """Whether `next` may have anything to say."""
        return bool(self._asked or self._touched or self._compares_all or self._suspects or self._must_answer)

    def has_gone(self) -> bool:
        """Whether `next_removal` may have anything to say."""
        return bool(self._gone)

    def next(self, supply: Supply, *, only_asked: bool) -> Sent | None:
        """What is to be sent now, if nothing is out; `only_asked`: what has merely changed must wait."""
        if self.sent is not None:
            return None
        while self._suspects:
            names = self._suspects.pop(0)
            self._touched.difference_update(names)
            if news := [one for name in names if (one := self._new(supply, name))]:
                return self._out(supply, news, ())
        only_asked = only_asked and not self._must_answer
        if not (self._asked or (not only_asked and self.has_news())):
            return None
        if len(self._touched) == 1 and not (self._asked or self._compares_all or self._must_answer):
            (name,) = self._touched  # by far the most frequent: one resource has changed
            if (one := self._new(supply, name)) is not None:
                self._touched.clear()
                return self._out(supply, (one,), ())
        news, absent = self._difference(supply, only_asked=only_asked)
        if not (news or absent or self._must_answer):
            return None
        self._must_answer = False
        return self._out(supply, news, absent)

    def next_removal(self, supply: Supply) -> Sent | None:
        """What is to be taken back now, if nothing is out."""
        if self.sent is not None or not self._gone:
            return None
        gone = sorted(name for name in self._gone if name in self.held and self._current(supply, name) is None)
        self._gone.clear()
        if self._form is Form.STATE and self.type not in WHOLE:
            for name in gone:  # this form has no word for it
                del self.held[name]
            return None
        return self._out(supply, (), gone) if gone else None

    def _current(self, supply: Supply, name: str) -> Resource | None:
        if not self.wanted.has(supply, name):
            return None
        try:
            return supply.get(self.type, name)
        except Exception:  # a defect with one resource must not take the others: the client keeps what it has of it
            log.exception("xds: a resource can't be made", extra={"resource": name[:200]})
            return self.held.get(name)

    def _new(self, supply: Supply, name: str, *, again: bool = False) -> Resource | None:
        """The resource, if the client should get it: it differs from what is held, or is wanted again."""
        current = self._current(supply, name)
        if current is None:
            return None
        rejected, held = self.rejected.get(name), self.held.get(name)
        if rejected is not None and rejected.version == current.version:
            return None
        if again or held is None or held.version != current.version:
            return current
        if rejected is not None:
            del self.rejected[name]  # what it has rejected is not wanted from it any more
        return None

    def _difference(self, supply: Supply, *, only_asked: bool) -> tuple[list[Resource], list[str]]:
        """What is new, as much as a response holds, and what is asked for and not there."""
        if self._compares_all and not only_asked:
            self._compares_all = False
            self._touched.update(self.wanted.of(supply), self.held)
        news: list[Resource] = []
        absent: list[str] = []
        size = 0
        for name in sorted(self._asked if only_asked else self._asked | self._touched):
            one = self._new(supply, name, again=name in self._asked)
            size += len(one.body) if one is not None else len(name)
            is_full = size > MOST_BYTES or len(news) + len(absent) >= MOST
            if is_full and (news or absent) and not self._holds_all:
                break
            if one is not None:
                news.append(one)
            elif self._is_news_that_absent(supply, name):
                absent.append(name)
            self._touched.discard(name)
            if name in self.wanted:  # else it is to be repeated as soon as it is wanted
                self._asked.discard(name)
        if not self._asked:
            self._asked = set()  # an emptied set keeps its room
        if not self._touched:
            self._touched = set()
        return news, absent

    def _is_news_that_absent(self, supply: Supply, name: str) -> bool:
        if self._current(supply, name) is not None:
            return False
        self.rejected.pop(name, None)
        if name in self.held:
            self._gone.add(name)
            return False
        if name not in self.wanted.names or name in self._absent or name not in self._asked:
            return False
        self._absent.add(name)
        self._must_answer = self._must_answer or self._holds_all
        return self._form is Form.DELTA

    @property
    def _holds_all(self) -> bool:
        return self._form is Form.STATE and self.type in WHOLE

    def _out(self, supply: Supply, news: Sequence[Resource], removed: Sequence[str]) -> Sent:
        """A response, noted as being out."""
        sent = Sent(resources=tuple(news), removed=tuple(removed))
        if self._form is Form.STATE:
            after = self.held | {one.name: one for one in news}
            if self._is_blind and self._holds_all:
                after = {name: one for name in self.wanted.of(supply) if (one := supply.get(self.type, name))} | after
            for name in removed:
                after.pop(name, None)
            state = tuple(after[name] for name in sorted(after)) if self._holds_all else sent.resources
            sent = msgspec.structs.replace(sent, state=state, version=version_of(after, self.wanted.names))
        self.sent = sent
        return sent
