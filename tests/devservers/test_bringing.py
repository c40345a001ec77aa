"""Where servers come from: the machine, the cache, and what is said when they are in neither."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from devservers.bring import bring
from devservers.cache import MissingServer, filling, is_complete, locked
from devservers.debian import PackageError, _make_links_relative, _read_lines, _read_stanzas, archive_entry
from devservers.parts import CONSUL, ENVOY, ETCD, PARTS, tool

OLD = "# any\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian stable main contrib # why\ndeb-src x\n"
NEW = """Types: deb
URIs: http://mirror.example/debian
Suites: stable stable-updates
Components: main
Signed-By: /k.gpg

Types: deb
# switched off
URIs: http://other.example/debian
Suites: stable
Components: main
Enabled: no
"""


@pytest.mark.parametrize("stanzas", [list(_read_lines(OLD)), list(_read_stanzas(NEW))], ids=["old", "deb822"])
def test_an_older_suite_is_sought_where_the_machine_gets_its_own(stanzas: list[dict[str, str]]) -> None:
    entry = archive_entry(stanzas, "bullseye")
    assert entry.splitlines() == [
        "Types: deb",
        "URIs: http://mirror.example/debian",
        "Suites: bullseye",
        "Components: main",
        "Signed-By: /k.gpg",
    ]


def test_a_machine_without_a_debian_archive_is_told_so() -> None:
    with pytest.raises(PackageError, match="no Debian archive"):
        archive_entry([{"uris": "http://tool.example", "suites": "nodistro", "components": "main"}], "bullseye")


def test_absolute_links_of_an_unpacked_package_lead_into_it(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/settings").write_text("x")
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/settings").symlink_to("/etc/settings")
    _make_links_relative(tmp_path)
    assert str((tmp_path / "usr/lib/settings").readlink()) == "../../etc/settings"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without servers, and with an empty cache."""
    monkeypatch.setenv("PILOT_PLUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("ENVOY", raising=False)
    (tmp_path / "bin").mkdir()
    return tmp_path


def test_a_missing_server_is_one_sentence_that_says_what_to_do(bare: Path) -> None:
    with pytest.raises(MissingServer, match=r"^etcd is not on this machine: run `make servers`, or .*etcd-server"):
        tool(ETCD)


def test_without_a_package_tool_each_part_says_what_to_install(bare: Path) -> None:
    problems = bring([ETCD, CONSUL])
    assert [problem.split(" ")[0] for problem in problems] == ["etcd", "consul"]
    assert all("no apt-get" in problem and problem.count("\n") == 0 for problem in problems)


def test_a_program_on_the_path_is_preferred_and_one_that_is_named_even_more(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path, named = bare / "bin/envoy", bare / "named"
    for file in (on_path, named):
        file.write_text("")
        file.chmod(0o755)
    assert tool(ENVOY).path == on_path
    monkeypatch.setenv("ENVOY", str(named))
    assert tool(ENVOY).path == named


def test_an_item_that_failed_halfway_is_not_there(bare: Path) -> None:
    with locked() as cache:
        item = cache / "item"
        with pytest.raises(OSError, match="half"):
            fill_halfway(item)
        assert list(cache.iterdir()) == [cache / ".lock"]
        with filling(item, "recipe") as folder:
            (folder / "file").write_text("")
        assert is_complete(item, "recipe")
        assert not is_complete(item, "another recipe")


def fill_halfway(item: Path) -> None:
    with filling(item, "recipe") as folder:
        (folder / "file").write_text("")
        raise OSError("half")


def test_the_cache_belongs_to_one_process_at_a_time(bare: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with locked():
            entered.set()

    with locked():
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.05)
    other.join(5)
    assert entered.is_set()


def test_a_second_run_has_nothing_to_do_and_says_where_everything_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devservers"], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [part.name for part in PARTS]
