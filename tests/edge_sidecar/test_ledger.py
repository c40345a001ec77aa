"""The ledger: metrics are written, a large access log is moved away, and nothing is lost over a failure."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_sidecar.ledger import Ledger


class Counter:
    """An Envoy as the ledger sees it."""

    def __init__(self) -> None:
        self.reopened = 0
        self.is_gone = False

    async def metrics(self, write: Callable[[bytes], object]) -> None:
        write(b"envoy_cx")
        write(b" 7\n")

    async def reopen_logs(self) -> None:
        if self.is_gone:
            raise ConnectionError("gone")
        self.reopened += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


async def test_metrics_are_written_whole(folder: Path):
    await Ledger(folder, lambda: None).look(Counter())
    assert (folder / "run" / "metrics.prom").read_text() == "envoy_cx 7\n"
    assert [one.name for one in (folder / "run").iterdir()] == ["metrics.prom"]


async def test_a_large_access_log_is_moved_away_and_opened_anew_once(folder: Path):
    envoy, ledger = Counter(), Ledger(folder, lambda: None, largest=10)
    place = folder / "run" / "access.log"
    place.write_text("0123456789")
    await ledger.look(envoy)
    assert envoy.reopened == 0
    place.write_text("0123456789x")
    await ledger.look(envoy)
    await ledger.look(envoy)
    assert envoy.reopened == 1
    assert (folder / "run" / "access.log.1").read_text() == "0123456789x"


async def test_a_log_that_could_not_be_opened_anew_is_at_the_next_look(folder: Path):
    envoy, ledger = Counter(), Ledger(folder, lambda: None, largest=1)
    (folder / "run" / "access.log").write_text("xx")
    envoy.is_gone = True
    with pytest.raises(ConnectionError):
        await ledger.look(envoy)
    envoy.is_gone = False
    await ledger.look(envoy)
    assert envoy.reopened == 1
