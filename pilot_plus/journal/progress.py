"""Progress: up to which catalog something is done, for who waits for it."""

import asyncio


class Progress:
    """How far somebody has come, as the number of a catalog; it never goes back."""

    def __init__(self) -> None:
        self.number = -1
        self._moved = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Progress: {self.number}>"

    def reach(self, number: int) -> None:
        """Everything up to this catalog is done."""
        self.number = max(self.number, number)
        self._moved.set()

    async def until(self, number: int) -> None:
        """Wait until this catalog is done."""
        while self.number < number:
            self._moved.clear()
            await self._moved.wait()
