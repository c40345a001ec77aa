"""A backend: a real registry as the contract tests see it, written and broken in its own native way.

Each kind of registry has one module `tests/contract/backend_KIND.py` with a class that fulfils `Backend`, and a line in
`tests/contract/backends.py`. Backends write with the registry's plain client, never with our own sink, so that what
the source reports is compared with something that our code didn't make.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from pilot_plus.model import Health
from pilot_plus.ports import Source


class Sample(msgspec.Struct, frozen=True):
    """An instance as a test writes it natively. `service` is a bare name that every registry can hold."""

    service: str
    address: str
    port: int = 8080
    weight: int = 100
    metadata: tuple[tuple[str, str], ...] = (("team", "shop"),)
    health: Health = Health.PASSING


class Backend(Protocol):
    """One running registry server, owned by the test."""

    holds_metadata: bool
    """The default layout of this backend holds metadata."""
    holds_health: bool
    """The default layout can say `critical`."""
    weight_step: int
    """The smallest difference of our weights that it can hold; 0 where it holds none."""
    namespace: str
    """The namespace of what it writes, for registries that have namespaces of their own; else empty."""

    def connect(self) -> AbstractAsyncContextManager[Source]:
        """The adapter under test, connected to this server."""
        ...

    async def write(self, *samples: Sample) -> None:
        """Create or overwrite, natively. Address and service together are the record's identity."""
        ...

    async def remove(self, *samples: Sample) -> None:
        """Remove, natively."""
        ...

    async def truth(self) -> set[Sample]:
        """What the server itself says that it holds now, read natively (not from memory of what was written)."""
        ...

    async def write_garbage(self) -> str | None:
        """Write a record where instances lie that can't be decoded; return a part of the place that
        `Skipped` names; None where garbage can't get in."""
        ...

    async def remove_garbage(self) -> None:
        """Take it away again."""
        ...

    def kill(self) -> None:
        """SIGKILL the server."""
        ...

    async def start_again(self) -> None:
        """Start it again with its data on the same port."""
        ...

    async def restart_empty(self) -> None:
        """Start it (or start it again) with no data on the same port."""
        ...

    def pause(self) -> None:
        """SIGSTOP: the server is there and says nothing."""
        ...

    def resume(self) -> None:
        """SIGCONT."""
        ...
