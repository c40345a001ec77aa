"""How we prove to the API server who we are: a token that stands there, one in a file, or one that a command prints."""

import asyncio
import os
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Final, Protocol

import msgspec

from pilot_plus.ports import SourceLost

EXEC_TIMEOUT: Final = 30.0
MAX_TOKEN: Final = 1 << 20
_EXEC_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class Credentials(Protocol):
    """Where tokens come from."""

    async def token(self, *, refused: bool = False) -> str:
        """The token for the next request, empty where none is used; `refused`: the server did not accept the last one.

        Raises:
            SourceLost: there is none to be had.
        """
        ...


class StaticToken:
    """A token that the kubeconfig holds, or no token."""

    def __init__(self, token: str = "") -> None:
        self._token = token

    async def token(self, *, refused: bool = False) -> str:
        """The token."""
        return self._token


class TokenFile:
    """A token in a file, which the kubelet replaces now and then: it is read for every request."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def token(self, *, refused: bool = False) -> str:
        """What the file holds now."""
        return read_text(self._path, "token file").strip()


class ExecPlugin(msgspec.Struct, frozen=True, rename="camel"):
    """`exec` of a kubeconfig's user."""

    command: str
    api_version: str
    args: list[str] | None = None
    env: list[dict[str, str]] | None = None
    provide_cluster_info: bool = False
    interactive_mode: str = ""
    install_hint: str = ""


class _ExecStatus(msgspec.Struct, frozen=True, rename="camel"):
    token: str = ""
    client_certificate_data: str = ""


class _ExecCredential(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str
    status: _ExecStatus | None = None


class ExecToken:
    """A token that a credential plugin prints; it is asked again when the server refuses the last one."""

    def __init__(self, plugin: ExecPlugin, folder: Path) -> None:
        if plugin.api_version not in _EXEC_VERSIONS:
            raise SourceLost(f"exec: apiVersion {plugin.api_version[:100]!r} is unknown; known are v1 and v1beta1")
        if plugin.provide_cluster_info:
            raise SourceLost("exec: provideClusterInfo is not supported")
        if plugin.interactive_mode == "Always":
            raise SourceLost("exec: interactiveMode is Always, but nobody is here to answer")
        self._plugin = plugin
        self._command = str(folder / plugin.command) if "/" in plugin.command else plugin.command
        self._token = ""

    async def token(self, *, refused: bool = False) -> str:
        """The last token, or a new one."""
        if refused or not self._token:
            self._token = await self._ask()
        return self._token

    async def _ask(self) -> str:
        output = await _output(self._command, self._plugin.args or (), self._environment())
        try:
            credential = msgspec.json.decode(output, type=_ExecCredential)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SourceLost(f"exec: {self._plugin.command}: it printed no ExecCredential") from error
        status = credential.status or _ExecStatus()
        if status.client_certificate_data:
            raise SourceLost(f"exec: {self._plugin.command}: it gives a certificate, and only tokens are supported")
        if not status.token:
            raise SourceLost(f"exec: {self._plugin.command}: its ExecCredential holds no token")
        return status.token

    def _environment(self) -> dict[str, str]:
        request = {
            "apiVersion": self._plugin.api_version,
            "kind": "ExecCredential",
            "spec": {"interactive": False},
        }
        said = {pair.get("name", ""): pair.get("value", "") for pair in self._plugin.env or ()}
        return {**os.environ, **said, "KUBERNETES_EXEC_INFO": msgspec.json.encode(request).decode()}


async def _output(command: str, arguments: list[str] | tuple[()], environment: dict[str, str]) -> bytes:
    """What a command prints; it never outlives the time limit, nor us."""
    try:
        process = await asyncio.create_subprocess_exec(
            command, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=environment
        )
    except OSError as error:
        raise SourceLost(f"exec: {command}: {error.strerror}") from error
    try:
        async with asyncio.timeout(EXEC_TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise SourceLost(f"exec: {command}: no answer within {EXEC_TIMEOUT:.0f} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise SourceLost(f"exec: {command}: exit code {process.returncode}")
    return output


def read_text(path: Path, what: str) -> str:
    """A small text file.

    Raises:
        SourceLost: it can't be read; the message names it.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_TOKEN).decode()
    except OSError as error:
        raise SourceLost(f"{what} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceLost(f"{what} {path}: not UTF-8") from error
