"""Java programs of one file: compiled once, run with jars from the cache, to test against other people's libraries."""

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devservers.cache import filling, is_complete, locked
from devservers.parts import CURATOR_JARS, JAVA, ZOOKEEPER_JARS, classpath, tool
from devservers.process import Process

_FLAGS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def curator_classpath() -> str:
    """Return the class path of Apache Curator's discovery, and of all that it needs."""
    return classpath(CURATOR_JARS, ZOOKEEPER_JARS)


@dataclass(frozen=True)
class JavaProgram:
    """A compiled program."""

    main: str
    classpath: str

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs it."""
        return [str(tool(JAVA).path), *_FLAGS, "-cp", self.classpath, self.main, *arguments]

    def run(self, *arguments: str, timeout: float = 30.0) -> str:
        """Run it to its end and return what it printed; raises RuntimeError with its complaint if it failed."""
        command = self.command(*arguments)
        environment = tool(JAVA).environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise RuntimeError(f"{self.main} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def start(self, *arguments: str, ready: str) -> "JavaProcess":
        """Return a process to use in a `with`; it counts as started once it has printed `ready`."""
        return JavaProcess(self, arguments, ready)


class JavaProcess(Process):
    """A Java program that goes on running; `log` holds what it prints."""

    kind = "java"

    def __init__(self, program: JavaProgram, arguments: tuple[str, ...], ready: str) -> None:
        """Choose what runs; `with` starts it."""
        super().__init__()
        self._program = program
        self._arguments = arguments
        self._ready = ready

    def _command(self) -> list[str]:
        return self._program.command(*self._arguments)

    def _environment(self) -> Mapping[str, str]:
        return tool(JAVA).environment

    def _prepare(self) -> None:
        self.log.unlink(missing_ok=True)  # so that `ready` is not found in an earlier life's words

    def _is_ready(self) -> bool:
        return self._ready in self.log.read_text(errors="replace")


def compile_java(source: str | Path, class_path: str = "") -> JavaProgram:
    """Compile a program (its text, or its file) whose public class has the `main`; the result is cached."""
    text = source.read_text() if isinstance(source, Path) else source
    found = re.search(r"public\s+(?:final\s+)?class\s+(\w+)", text)
    if not found:
        raise ValueError("the program has no public class")
    digest = hashlib.sha256(f"{class_path}\n{text}".encode()).hexdigest()[:16]
    with locked() as cache:
        item = cache / f"java-classes-{digest}"
        if not is_complete(item, digest):
            with filling(item, digest) as folder:
                _compile(found[1], text, class_path, folder)
    return JavaProgram(found[1], os.pathsep.join(filter(None, (str(item), class_path))))


def _compile(name: str, text: str, class_path: str, folder: Path) -> None:
    compiler = tool(JAVA, "javac")
    file = folder / f"{name}.java"
    file.write_text(text)
    command = [str(compiler.path), "-nowarn", "-d", str(folder), "-cp", class_path or ".", str(file)]
    done = subprocess.run(command, env=compiler.environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}.java does not compile:\n{done.stderr[-4000:]}")
