"""PostgreSQL: one cluster on loopback that trusts everybody and syncs nothing to disk."""

import functools
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from devservers.cache import filling, is_complete, locked
from devservers.debian import library_folders
from devservers.network import HOST
from devservers.parts import POSTGRES, Tool, tool
from devservers.process import Server, StartFailed
from devservers.scratch import scratch_folder

_USER = "pilot"
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",  # a commit still reaches the kernel, so it outlives SIGKILL
    "full_page_writes": "off",
    "jit": "off",
    "max_connections": "200",
}


class Postgres(Server):
    """A PostgreSQL server; `url` is its first database, `fresh_database()` makes another.

    `settings` are more settings of its configuration, such as `{"max_connections": "5"}`.
    """

    kind = "postgres"
    stop_signal = signal.SIGINT  # SIGTERM would wait for every client

    def __init__(self, *, settings: Mapping[str, str] | None = None) -> None:
        """Choose what it does; `with` starts it."""
        super().__init__()
        self._settings = {**_SETTINGS, **(settings or {})}
        self._databases = 0

    @property
    def url(self) -> str:
        """The first database's URL."""
        return self._database_url("postgres")

    def fresh_database(self) -> str:
        """Make an empty database and return its URL."""
        self._databases += 1
        name = f"fresh_{self._databases}"
        programs = _programs()
        command = [str(programs / "psql"), "-X", "-q", self.url, "-c", f"CREATE DATABASE {name}"]
        subprocess.run(command, env=_postgres().environment, capture_output=True, timeout=30, check=True)
        return self._database_url(name)

    def _database_url(self, name: str) -> str:
        return f"postgresql://{_USER}@{self.address}/{name}"

    def _prepare(self) -> None:
        if not self.data.exists():
            shutil.copytree(_template(), self.data, symlinks=True)
        _give_away(self.folder)

    def _command(self) -> list[str]:
        settings = [f"--{key}={value}" for key, value in {**self._settings, "port": str(self.port)}.items()]
        return [*_without_root(), str(_programs() / "postgres"), "-D", str(self.data), *settings]

    def _environment(self) -> Mapping[str, str]:
        return _postgres().environment

    def _is_ready(self) -> bool:
        lines = (self.data / "postmaster.pid").read_text().splitlines()  # what pg_ctl looks at
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


@functools.cache
def _postgres() -> Tool:
    """Find PostgreSQL, and make it reachable for the account that it runs as."""
    found = tool(POSTGRES)
    if _account() is None or found.root is None or _is_open_to_all(found.path):
        return found
    root = scratch_folder("postgres-programs")  # the cache lies in root's own home, where nobody else may pass
    root.chmod(0o755)
    for folder in (Path("usr/lib/postgresql"), Path("usr/share/postgresql"), *library_folders(POSTGRES.item)):
        inside = folder.relative_to(POSTGRES.item) if folder.is_absolute() else folder
        shutil.copytree(POSTGRES.item / inside, root / inside, symlinks=True)
    return Tool(root / found.path.relative_to(POSTGRES.item), root)


def _programs() -> Path:
    return _postgres().path.resolve().parent  # Debian's own `psql` on the PATH is a script that looks for clusters


def _account() -> pwd.struct_passwd | None:
    """Return whom to become: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    return accounts.get("postgres") or accounts["nobody"]


def _without_root() -> Sequence[str]:
    account = _account()
    if account is None:
        return []
    identity = ["--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]
    return ["setpriv", *identity, "--pdeathsig", "KILL", "--"]  # the leash does not outlive a change of user


def _is_open_to_all(file: Path) -> bool:
    return all(step.stat().st_mode & 0o001 for step in (file, *file.parents))


def _give_away(folder: Path) -> None:
    account = _account()
    if account is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)


def _template() -> Path:
    """Return a fresh cluster to copy, made once by `initdb`, which takes longer than everything else."""
    initdb = tool(POSTGRES).path.resolve()
    recipe = f"{_USER} {initdb} {initdb.stat().st_mtime_ns}"
    with locked() as cache:
        item = cache / "postgres-template"
        if not is_complete(item, recipe):
            with filling(item, recipe) as fresh:
                _make_cluster(fresh / "data")
        return item / "data"


def _make_cluster(into: Path) -> None:
    work = scratch_folder("initdb")
    _give_away(work)
    options = ["-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    command = [*_without_root(), str(_programs() / "initdb"), "-D", str(work / "data"), *options]
    try:
        environment = _postgres().environment
        subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, timeout=120, check=True)
        shutil.copytree(work / "data", into, symlinks=True)
    except subprocess.CalledProcessError as error:
        raise StartFailed(f"initdb failed: {error.stderr}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
