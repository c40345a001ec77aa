"""What an agent holds for itself: nobody else gets it meanwhile, and afterwards somebody does."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from edge_sidecar.place import Busy, data_folder, own_address
from tests.edge_sidecar.agent import NET


@pytest.mark.parametrize(
    ("taken", "remedy"), [(lambda _: own_address(f"{NET}.1.9"), "--address"), (data_folder, "--data")]
)
def test_two_agents_share_nothing(taken: Any, remedy: str, tmp_path: Path):
    def take() -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = taken(tmp_path)
        return context

    with take(), pytest.raises(Busy, match=f"another agent .* its own {remedy}"), take():
        pass
    with take():
        pass


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_is_refused(address: str):
    with pytest.raises(OSError, match=f"{address} is no address of this machine.*--address"), own_address(address):
        pass


def test_a_file_can_be_no_data_folder(tmp_path: Path):
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(OSError, match=f"{place} can't be the data folder: .*--data"), data_folder(place):
        pass
