"""The pages for users, and what in them can be executed."""

import re
import shlex
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Shown(msgspec.Struct, frozen=True):
    """A command in a page, and what the page says that it prints. `…` is anything."""

    words: tuple[str, ...]
    prints: str

    def is_what(self, printed: str) -> bool:
        """Whether that was printed, but for spaces at the ends of lines."""
        pattern = re.escape(_trimmed(self.prints)).replace("…", ".*")
        return re.fullmatch(pattern, _trimmed(printed), re.DOTALL) is not None


def page(name: str) -> str:
    """The text of a page."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a language."""
    return [found[1] for found in _BLOCK.findall(text) if found[0] == language]


def transcripts(text: str, prompt: str = "$ pilot-plus ") -> list[Shown]:
    """Every command that a page shows with what it prints."""
    shown = []
    for block in blocks(text):
        for part in f"\n{block}".split(f"\n{prompt}")[1:]:
            command, _, prints = part.partition("\n")
            shown.append(Shown(tuple(shlex.split(command)), prints))
    return shown


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
