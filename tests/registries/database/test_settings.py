"""Settings that are wrong are refused before anything starts, and secrets are never shown."""

import msgspec
import pytest

from pilot_plus.ports import SourceLost
from registries.database import Settings, connect


@pytest.mark.parametrize(
    "url", ["mysql://h/d", "sqlite://", "sqlite:///", "sqlite:///:memory:", "own.db", "postgresql"]
)
def test_another_database_is_refused_and_the_remedy_is_named(url: str):
    with pytest.raises(msgspec.ValidationError, match=r"url: .*sqlite:///"):
        msgspec.convert({"url": url}, Settings)


def test_an_unknown_key_is_refused():
    with pytest.raises(msgspec.ValidationError, match="urls"):
        msgspec.convert({"urls": ""}, Settings)


def test_a_password_is_never_shown():
    settings = Settings(url="postgresql://hub:hush@db.example:5432/hub?sslmode=require")
    assert repr(settings) == "Settings(url='postgresql://db.example:5432/hub')"


async def test_without_a_url_nothing_is_opened():
    with pytest.raises(ValueError, match="needs a database"):
        async with connect(Settings()):
            pass


async def test_a_database_that_cannot_be_opened_is_lost_and_no_password_is_said():
    with pytest.raises(SourceLost) as lost:
        async with connect(Settings(url="postgresql://hub:hush@127.0.0.1:1/hub")):
            pass
    assert "hush" not in str(lost.value)
    assert "127.0.0.1:1" in str(lost.value)


async def test_a_folder_that_is_not_there_is_lost(tmp_path):
    with pytest.raises(SourceLost, match="No such file"):
        async with connect(Settings(url=f"sqlite:///{tmp_path}/no/own.db")):
            pass


async def test_a_file_that_is_no_database_is_lost(tmp_path):
    (tmp_path / "own.db").write_text("not a database, and long enough to be taken for one" * 100)
    with pytest.raises(SourceLost, match="not a database"):
        async with connect(Settings(url=f"sqlite:///{tmp_path}/own.db")):
            pass
