"""A playbook: what a client says, and what the hub answers, as short texts.

book.ask(ROUTES, "r")        >> the client asks;  `book.heard` is what was answered: ["routes +r=1"]
book.accept(ROUTES)          >> it accepts the newest response of a type
"""

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from pilot_plus.servers.xds.audience import Audience, Seat
from pilot_plus.servers.xds.forms import Form
from pilot_plus.servers.xds.requests import delta_request, state_request
from pilot_plus.servers.xds.responses import Response, Responses
from pilot_plus.servers.xds.stream import Stream
from pilot_plus.views.xds.resource import Type
from tests.pilot_plus.servers.xds.shelf import Shelf


class Book:
    def __init__(self, form: Form, shelf: Shelf) -> None:
        self.shelf = shelf
        self.heard: list[str] = []
        self.now = 0.0
        self.form = form
        self.audience = Audience(shelf)
        self.audience.listeners.add(self)
        self.stream = Stream(form, shelf, Responses(), Seat(self.audience, self))
        self.nonces: dict[Type, str] = {}
        self.names: dict[Type, set[str]] = {}
        self.version: dict[Type, str] = {}
        self._newest: dict[Type, str] = {}

    # what the audience tells

    def touch(self, type_, names):
        self.stream.touch(type_, names)

    def wake(self) -> None:
        pass

    # what the client says

    def ask(self, type_: Type, *names: str, less: tuple[str, ...] = (), has: dict[str, str] | None = None) -> list[str]:
        """In the delta form: more names, fewer names, and what it has already."""
        said = DeltaDiscoveryRequest(
            type_url=type_,
            resource_names_subscribe=names,
            resource_names_unsubscribe=less,
            initial_resource_versions=has or {},
        )
        return self._say(said)

    def want(self, type_: Type, *names: str, version: str = "") -> list[str]:
        """In the form of the state of the world: these names, and no others."""
        self.names[type_] = set(names)
        nonce = self.nonces.get(type_, "")
        return self._say(
            DiscoveryRequest(
                type_url=type_,
                resource_names=names,
                response_nonce=nonce,
                version_info=version or self.version.get(type_, ""),
            )
        )

    def accept(self, *types: Type) -> list[str]:
        for type_ in types:
            self.version[type_] = self._newest.get(type_, "")
            self._answer(type_, None)
        return self.heard

    def reject(self, type_: Type, why: str = "no") -> list[str]:
        return self._answer(type_, why)

    def changed(self) -> list[str]:
        """The hub has changed the shelf."""
        self.audience.advance()
        return self._take()

    def later(self, seconds: float) -> list[str]:
        self.now += seconds
        return self._take()

    def _answer(self, type_: Type, why: str | None) -> list[str]:
        if self.form is Form.DELTA:
            said = DeltaDiscoveryRequest(type_url=type_, response_nonce=self.nonces[type_])
        else:
            said = DiscoveryRequest(
                type_url=type_,
                response_nonce=self.nonces[type_],
                resource_names=self.names.get(type_, ()),
                version_info=self.version.get(type_, ""),
            )
        if why is not None:
            said.error_detail.message = why
        return self._say(said)

    def _say(self, said: DiscoveryRequest | DeltaDiscoveryRequest) -> list[str]:
        data = said.SerializeToString()
        read = delta_request(data) if self.form is Form.DELTA else state_request(data)
        self.stream.request(read, self.now)
        return self._take()

    def _take(self) -> list[str]:
        self.heard = [self._shown(response) for response in self.stream.next(self.now)]
        return self.heard

    def _shown(self, response: Response) -> str:
        self.nonces[response.type] = response.nonce
        if self.form is Form.DELTA:
            delta = DeltaDiscoveryResponse.FromString(response.body)
            assert (delta.nonce, delta.type_url) == (response.nonce, response.type)
            words = [f"+{one.name}={one.resource.value[2:].decode()}" for one in delta.resources]
            assert all(one.resource.type_url == response.type and one.version for one in delta.resources)
            return " ".join([response.type.name.lower(), *words, *(f"-{name}" for name in delta.removed_resources)])
        state = DiscoveryResponse.FromString(response.body)
        assert (state.nonce, state.type_url) == (response.nonce, response.type)
        assert all(one.type_url == response.type for one in state.resources)
        self._newest[response.type] = state.version_info
        return " ".join([response.type.name.lower(), *(one.value[2:].decode() for one in state.resources)])
