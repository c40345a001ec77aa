"""The notary: who gives and takes back identities. The hub stands behind it."""

from typing import Protocol

from pilot_plus.views.membership import (
    RevocationRequest,
    RevocationShape,
    RotationShape,
    TokenList,
    TokenMade,
    TokenRequest,
)


class Notary(Protocol):
    """Raises `ValueError` for what can't be granted, and `OSError` where the store can't be read or written."""

    async def create_token(self, asked: TokenRequest) -> TokenMade:
        """Make a join token."""
        ...

    async def list_tokens(self) -> TokenList:
        """All tokens, without their secrets."""
        ...

    async def revoke_token(self, token_id: str) -> bool:
        """Take a token back; whether there was one."""
        ...

    async def revoke(self, asked: RevocationRequest) -> RevocationShape:
        """Take an identity or a certificate back."""
        ...

    async def lift(self, what: str) -> None:
        """Give it back."""
        ...

    async def rotate(self) -> RotationShape:
        """Begin to replace the root."""
        ...
