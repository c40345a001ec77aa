"""A grant: what a part of the hub gives when it is asked for something, or the problem that there is instead."""

import logging
from collections.abc import Awaitable
from typing import TypeVar

from pilot_plus.servers.api.problem import Problem, unavailable
from pilot_plus.wire.denied import Denied

log = logging.getLogger(__name__)

T = TypeVar("T")


async def granted(asked: Awaitable[T], status: int = 422) -> T:
    """What is given.

    Raises:
        Problem: `status` where it can't be granted (`ValueError`, `Denied`), 502 where another hub can't be reached
            (`ConnectionError`), 503 where the journal can't be read or written (every other `OSError`).
    """
    try:
        return await asked
    except (ValueError, Denied) as error:
        raise Problem(status, str(error)[:1000]) from error
    except ConnectionError as error:
        raise Problem(502, str(error)[:1000]) from error
    except OSError as error:  # one line, without a secret: see `pilot_plus.sql`
        log.warning("the journal can't be asked: %s", error)
        raise unavailable(f"the journal can't be read or written now: {error}"[:1000]) from error
