"""A company with a hub of its own, and a folder for one who joins."""

from pathlib import Path

import pytest

from pilot_plus.wire.folder import Folder
from tests.pilot_plus.identity.company import Company


@pytest.fixture
async def company() -> Company:
    return await Company().open()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")
