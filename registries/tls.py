"""TLS towards a registry: what every adapter's settings accept."""

import ssl
from pathlib import Path

import msgspec

from pilot_plus.ports import SourceLost


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files in PEM. Without `ca` the system's authorities are trusted."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    server_name: str = ""
    """Expected in the server's certificate instead of the name dialled."""


def client_context(tls: Tls) -> ssl.SSLContext:
    """A context that verifies the server and shows our certificate, if there is one.

    Raises:
        SourceLost: a file is missing or holds no PEM; the message names the file.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key or None)
    except (OSError, ssl.SSLError) as error:
        raise SourceLost(f"TLS files {tls.ca or '-'}, {tls.cert or '-'}, {tls.key or '-'}: {error}") from error
    return context


def read_pem(path: str) -> bytes | None:
    """The file's bytes for libraries that take PEM in memory; None for an empty path.

    Raises:
        SourceLost: the file can't be read.
    """
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise SourceLost(f"TLS file {path}: {error.strerror}") from error
