"""Debian's packages, downloaded and unpacked without installing anything, with or without root."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

# Beside a foreign dynamic loader another C library crashes; LLVM is 100 MB for a JIT compiler that we switch off.
NEVER_UNPACKED = re.compile(r"libc6$|libc-bin$|libllvm")


class PackageError(RuntimeError):
    """The package tool could not do it; the text is its own last complaint."""


class PrivateApt:
    """Debian's package tool with lists and a cache of its own, so that the machine's state is not touched.

    With a `suite` it sees only that suite, at the archive that the machine's own sources name.
    """

    def __init__(self, folder: Path, suite: str | None = None) -> None:
        """Write a private configuration into the folder."""
        if shutil.which("apt-get") is None:
            raise PackageError("there is no apt-get on this machine")
        self._config = folder / "apt.conf"
        for part in ("lists/partial", "cache/archives/partial", "sources"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        lines = [
            # The machine's hooks act on the machine's cache.
            "#clear APT::Update::Post-Invoke;",
            "#clear APT::Update::Post-Invoke-Success;",
            f'Dir::State::lists "{folder}/lists";',
            f'Dir::Cache "{folder}/cache";',
            'Acquire::Languages "none";',
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
            'Debug::NoLocking "true";',
        ]
        if os.geteuid() == 0:
            lines.append('APT::Sandbox::User "root";')  # the sandbox user cannot enter a home folder
        if suite is not None:
            # An address may carry a password, so nobody else may read it.
            own = folder / "sources" / "own.sources"
            own.touch(mode=0o600)
            own.write_text(archive_entry(machine_sources(), suite))
            lines += ['Dir::Etc::sourcelist "/dev/null";', f'Dir::Etc::sourceparts "{folder}/sources";']
        self._config.write_text("\n".join(lines) + "\n")
        self._run("update")

    def with_dependencies(self, names: Sequence[str]) -> list[str]:
        """Return the packages and those of their dependencies that this machine lacks."""
        try:
            plan = self._run("-s", "install", "--no-install-recommends", *names)
        except PackageError:
            return list(names)  # a machine whose own packages are at odds plans nothing
        planned = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        return sorted({*names, *(name for name in planned if not NEVER_UNPACKED.match(name))})

    def download(self, names: Sequence[str], into: Path) -> list[Path]:
        """Download the packages and return their files."""
        into.mkdir(parents=True, exist_ok=True)
        self._run("download", *names, cwd=into)
        return sorted(into.glob("*.deb"))

    def _run(self, *arguments: str, cwd: Path | None = None) -> str:
        return _run(["apt-get", "-q", "-c", str(self._config), *arguments], cwd)


def unpack(packages: Iterable[Path], root: Path) -> None:
    """Unpack the packages under a root that can be moved."""
    for package in packages:
        _run(["dpkg", "-x", str(package), str(root)])
    _make_links_relative(root)


def library_folders(root: Path) -> list[Path]:
    """Return where an unpacked root keeps its shared libraries."""
    return [folder for pattern in ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*") for folder in sorted(root.glob(pattern))]


def machine_sources() -> list[dict[str, str]]:
    """Read the package sources of this machine, old format and new, as stanzas with lower-case keys."""
    shell = _run(["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"])
    places = dict(re.findall(r"(LIST|PARTS)='(.*)'", shell))
    parts = Path(places.get("PARTS", "/etc/apt/sources.list.d"))
    files = [Path(places.get("LIST", "/etc/apt/sources.list")), *sorted(parts.glob("*.list")), *parts.glob("*.sources")]
    stanzas: list[dict[str, str]] = []
    for file in files:
        if file.is_file():
            read = _read_stanzas if file.suffix == ".sources" else _read_lines
            stanzas += read(file.read_text())
    return [stanza for stanza in stanzas if stanza.get("enabled", "yes").lower() not in {"no", "false", "0"}]


def archive_entry(stanzas: Iterable[dict[str, str]], suite: str) -> str:
    """Return a source entry for another suite of the archive that the machine's main entry names."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    for stanza in stanzas:
        own = {codename, "stable", "oldstable", "testing", "sid"}.intersection(stanza.get("suites", "").split())
        if own and "main" in stanza.get("components", "").split():
            signed = f"Signed-By: {stanza['signed-by']}\n" if "signed-by" in stanza else ""
            return f"Types: deb\nURIs: {stanza['uris'].split()[0]}\nSuites: {suite}\nComponents: main\n{signed}"
    raise PackageError(f"this machine's package sources name no Debian archive that could hold {suite}")


def _read_stanzas(text: str) -> Iterator[dict[str, str]]:
    for block in re.split(r"\n\s*\n", text):
        stanza: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():  # a continued value, such as a key in the file itself
                stanza[key] = stanza.get(key, "") + "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                stanza[key] = value.strip()
        if "uris" in stanza and "deb" in stanza.get("types", "").split():
            yield stanza


def _read_lines(text: str) -> Iterator[dict[str, str]]:
    for line in text.splitlines():
        found = re.match(
            r"\s*deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>[^#]+)", line
        )
        if not found:
            continue
        stanza = {"uris": found["uri"], "suites": found["suite"], "components": found["rest"].strip()}
        signed = re.search(r"signed-by=(\S+)", found["options"] or "", re.IGNORECASE)
        yield stanza | ({"signed-by": signed[1]} if signed else {})


def _make_links_relative(root: Path) -> None:
    """Point absolute links into the root itself: a Java runtime links to its settings under /etc."""
    for folder, folders, files in os.walk(root):
        for link in (Path(folder, name) for name in (*folders, *files)):
            if not link.is_symlink() or not link.readlink().is_absolute():
                continue
            inside = root / link.readlink().relative_to("/")
            if inside.exists() or inside.is_symlink():
                link.unlink()
                link.symlink_to(os.path.relpath(inside, link.parent))


def _run(command: Sequence[str], cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageError(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()] or ["no reason given"]
        raise PackageError(f"{command[0]}: {next((line for line in lines if line.startswith('E:')), lines[-1])}")
    return done.stdout
