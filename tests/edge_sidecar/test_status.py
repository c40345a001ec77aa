import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from edge_sidecar.status import PLACE, Board, Status


def status(pid: int, **fields: Any) -> Status:
    base: dict[str, Any] = {
        "name": "edge-1",
        "zone": "vm",
        "address": "127.0.0.2",
        "identity": "spiffe://east.example/zone/vm/edge/edge-1",
        "hub": "127.0.0.1:7912",
        "session": True,
        "trouble": "",
        "draining": False,
        "certificate_expires": "2026-11-22T00:00:00+00:00",
        "envoy_version": "1.40.0",
        "envoy_restarts": 0,
        "envoy_serves": True,
        "carries": ["outbound|shop/orders|9000"] * 200,
    }
    return Status(pid=pid, **{**base, **fields})


def said(data: Path) -> Status:
    return msgspec.json.decode((data / PLACE).read_bytes(), type=Status)


def test_two_who_write_at_once_do_not_take_each_others_file_away(tmp_path: Path):
    (tmp_path / "run").mkdir()
    board, together = Board(tmp_path), threading.Barrier(4)

    def write(number: int) -> None:
        together.wait(10)
        for _ in range(200):
            board.write(status(number))

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(write, number) for number in range(1, 5)]:
            done.result()
    assert said(tmp_path).pid in range(1, 5)


def test_the_last_word_stays_though_somebody_writes_late(tmp_path: Path):
    (tmp_path / "run").mkdir()
    board = Board(tmp_path)
    board.write(status(7))
    board.write(status(0))
    board.write(status(7))
    assert said(tmp_path).pid == 0
