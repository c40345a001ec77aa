"""A problem: an error that goes to the client, as RFC 9457 has it."""

from http import HTTPStatus
from typing import Final

import msgspec

PROBLEM_TYPE: Final = b"application/problem+json"


class Problem(Exception):  # noqa: N818 - the word of the RFC
    """What went wrong, in a form that a person can act on. Never holds a secret."""

    def __init__(self, status: int, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer with this status; `detail` says what to do about it."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    @property
    def shape(self) -> "ProblemShape":
        """What is sent."""
        title = HTTPStatus(self.status).phrase
        return ProblemShape(
            type=f"urn:pilot-plus:problem:{title.lower().replace(' ', '-')}",
            title=title,
            status=self.status,
            detail=self.detail,
        )


def unavailable(detail: str) -> Problem:
    """Not now, and it may be tried again soon."""
    return Problem(503, detail, ((b"retry-after", b"1"),))


class ProblemShape(msgspec.Struct, frozen=True):
    """An error as `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
