"""A stream: one client's aggregated discovery, over all types. Pure: what a client says goes in, responses come out.

Updates make before they break. Clusters go out first, then their endpoints, listeners and routes; as long as a response
of one type is not answered, changes of the types behind it wait, so that a route never names a cluster that is still
being warmed. What is gone is taken back last and in the reverse order, when nothing new is under way. What a client
asks for is answered at once: only changes wait, and not longer than `PATIENCE` for a client that doesn't answer.

    hub: cluster b, routes a→b, cluster a gone
    >> clusters +b      << accepted
    >> endpoints b      << accepted         (asked for by the client when it got b)
    >> routes a→b       << accepted
    >> clusters -a      << accepted
"""

import logging
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from pilot_plus.servers.xds.forms import Form
from pilot_plus.servers.xds.requests import DeltaRequest, StateRequest
from pilot_plus.servers.xds.responses import Response, Responses
from pilot_plus.servers.xds.subscription import Sent, Subscription
from pilot_plus.servers.xds.wanted import Follows
from pilot_plus.views.xds.resource import Type
from pilot_plus.views.xds.supply import Supply

log = logging.getLogger(__name__)

PATIENCE: Final = 5.0
"""Seconds for which an unanswered response holds back changes of other types."""
MAX_NAMES: Final = 100_000
"""Names that a client may ask for."""

_BY_URL: Final = {str(type_): type_ for type_ in Type}
_ORDER: Final = tuple(Type)


class Stream:
    """One client's stream."""

    def __init__(self, form: Form, supply: Supply, responses: Responses, follows: Follows) -> None:
        self.form = form
        self.subscriptions: dict[Type, Subscription] = {}
        self.unknown: set[str] = set()
        """Types that the client asked for and that are not served."""
        self._supply = supply
        self._responses = responses
        self._follows = follows

    def __repr__(self) -> str:
        return f"<Stream {self.form.value}: {', '.join(map(repr, self.subscriptions.values()))}>"

    # ------------------------------------------------------------------------------------------------ events

    def request(self, request: StateRequest | DeltaRequest, now: float) -> bool:
        """The client says something about a type; whether it answers what was out.

        Raises:
            ValueError: it asks for too much.
        """
        type_ = _BY_URL.get(request.type)
        if type_ is None:
            if len(self.unknown) < 100:
                self.unknown.add(request.type[:200])
            return False
        subscription = self._subscription(type_)
        is_answer = bool(request.nonce) and subscription.answer(request.nonce, request.error, now)
        match request:
            case DeltaRequest():
                subscription.request_delta(request)
            case StateRequest() if is_answer or subscription.sent is None or not request.nonce:
                subscription.request_state(request, self._supply, is_answer=is_answer)
            case StateRequest():
                pass  # it has not seen what is out yet, and will say all this again when it has
        if len(subscription.wanted.names) > MAX_NAMES:
            raise ValueError(f"more than {MAX_NAMES} resources of one type are asked for")
        return is_answer

    def touch(self, type_: Type, names: Iterable[str] | None) -> None:
        """Resources may have changed; None: any of the type."""
        if (subscription := self.subscriptions.get(type_)) is not None:
            subscription.touch(names)

    def next(self, now: float) -> Iterator[Response]:
        """What is to be sent now."""
        held_back = False
        for type_ in _ORDER:
            subscription = self.subscriptions.get(type_)
            if subscription is None:
                continue
            if subscription.sent is None and subscription.has_news():
                sent = subscription.next(self._supply, only_asked=held_back)
                if sent is not None:
                    yield self._response(subscription, sent, now)
            held_back = held_back or _holds_back(subscription, now)
        if not held_back:
            yield from self._removals(now)

    def compared(self, request: StateRequest | DeltaRequest) -> Iterator[tuple[Type, AbstractSet[str]]]:
        """The resources that are looked at at once when a request is taken, by type."""
        if isinstance(request, StateRequest) and request.version and not request.nonce:
            type_ = _BY_URL.get(request.type)
            if type_ is not None:
                yield type_, self._supply.names(type_) if request.may_want_all else request.names

    def pending(self) -> Iterator[tuple[Type, Collection[str]]]:
        """The resources that `next` will look at, by type, where they are more than a few."""
        for type_, subscription in tuple(self.subscriptions.items()):  # the client may ask for another one meanwhile
            if names := subscription.pending(self._supply):
                yield type_, names

    def has_work(self) -> bool:
        """Whether there is anything that `next` may have to say, now or later."""
        for one in self.subscriptions.values():  # noqa: SIM110 - a generator costs more than the questions
            if one.has_news() or one.has_gone():
                return True
        return False

    def waits_until(self) -> float | None:
        """When (monotonic seconds) `next` may have something to say though nothing happens; None: never."""
        if not self.has_work():
            return None
        return min((one.sent_at + PATIENCE for one in self.subscriptions.values() if one.sent), default=None)

    def _removals(self, now: float) -> Iterator[Response]:
        for type_ in reversed(_ORDER):
            subscription = self.subscriptions.get(type_)
            if subscription is None:
                continue
            sent = subscription.next_removal(self._supply)
            if sent is not None:
                yield self._response(subscription, sent, now)
            if _holds_back(subscription, now):
                return

    def _subscription(self, type_: Type) -> Subscription:
        if (found := self.subscriptions.get(type_)) is None:
            found = self.subscriptions[type_] = Subscription(type_, self.form, self._follows)
        return found

    def _response(self, subscription: Subscription, sent: Sent, now: float) -> Response:
        if subscription.type is Type.CLUSTER:
            # Envoy warms a cluster that has changed until it hears its endpoints again, changed or not.
            warmed = [one.name for one in sent.resources if one.name in subscription.held]
            if warmed:
                self._subscription(Type.ENDPOINTS).repeat(warmed)
        if self.form is Form.DELTA:
            response = self._responses.delta(subscription.type, sent.resources, sent.removed)
        else:
            response = self._responses.state(subscription.type, sent.version, sent.state)
        subscription.nonce, subscription.sent_at = response.nonce, now
        return response


def _holds_back(subscription: Subscription, now: float) -> bool:
    return subscription.sent is not None and now - subscription.sent_at < PATIENCE
