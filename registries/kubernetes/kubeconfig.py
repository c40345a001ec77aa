"""From a kubeconfig, or the service account of a pod, to an API server and a way to prove who we are.

A kubeconfig can name files and commands, so one from elsewhere could make us read and run what it likes. Files in its
own folder or below are read; others, credential plugins, and doing without a verified certificate need `allow`.
"""

import base64
import binascii
import os
import ssl
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec
import yaml
from yarl import URL

from pilot_plus.ports import SourceLost
from registries.kubernetes.access import Credentials, ExecPlugin, ExecToken, StaticToken, TokenFile, read_text
from registries.kubernetes.settings import Allowance, Settings


class Access(msgspec.Struct, frozen=True):
    """Where the API server is, and how it is spoken to."""

    server: URL
    tls: ssl.SSLContext | None
    server_name: str
    """Expected in the server's certificate instead of the name dialled; empty: that name."""
    credentials: Credentials


class _Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    server: str
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class _User(msgspec.Struct, frozen=True, rename="kebab"):
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    username: str = ""
    exec_: ExecPlugin | None = msgspec.field(default=None, name="exec")
    auth_provider: dict[str, object] | None = None
    impersonate: str = msgspec.field(default="", name="as")


class _Context(msgspec.Struct, frozen=True):
    cluster: str
    user: str = ""


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: _User


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: _Context


class _Kubeconfig(msgspec.Struct, frozen=True, rename="kebab"):
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []
    contexts: list[_NamedContext] = []
    current_context: str = ""


def access(settings: Settings) -> Access:
    """How to reach the API server that the settings mean.

    Raises:
        SourceLost: the kubeconfig can't be read, is wrong, or asks for what `allow` doesn't say.
    """
    if not settings.kubeconfig:
        return _in_cluster(Path(settings.service_account))
    path = Path(settings.kubeconfig).expanduser()
    config = _parse(path)
    files = _Files(path.parent, settings.allow)
    named = settings.context or config.current_context
    if not named:
        raise SourceLost(f"kubeconfig {path}: it has no current-context; set settings.context")
    context = _find("context", named, {entry.name: entry.context for entry in config.contexts}, path)
    cluster = _find("cluster", context.cluster, {entry.name: entry.cluster for entry in config.clusters}, path)
    users = {entry.name: entry.user for entry in config.users}
    user = _find("user", context.user, users, path) if context.user else _User()
    return _access(cluster, user, files)


def _access(cluster: _Cluster, user: _User, files: "_Files") -> Access:
    for field, found in (
        ("proxy-url", cluster.proxy_url),
        ("auth-provider", user.auth_provider),
        ("username", user.username),
        ("as", user.impersonate),
    ):
        if found:
            raise SourceLost(f"kubeconfig: {field} is not supported")
    server = _server(cluster.server)
    if server.scheme == "http":
        if not _is_loopback(server):
            files.demand("insecure", f"the server {server} has no TLS")
        return Access(server, None, "", _credentials(user, files))
    return Access(server, _tls(cluster, user, files), cluster.tls_server_name, _credentials(user, files))


def _tls(cluster: _Cluster, user: _User, files: "_Files") -> ssl.SSLContext:
    authority = files.content(
        cluster.certificate_authority, cluster.certificate_authority_data, "certificate-authority"
    )
    certificate = files.content(user.client_certificate, user.client_certificate_data, "client-certificate")
    key = files.content(user.client_key, user.client_key_data, "client-key")
    if cluster.insecure_skip_tls_verify:
        files.demand("insecure", "insecure-skip-tls-verify is set")
        if authority:
            raise SourceLost("kubeconfig: insecure-skip-tls-verify and certificate-authority exclude each other")
    try:
        context = ssl.create_default_context(cadata=authority.decode("ascii") if authority else None)
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise SourceLost("kubeconfig: certificate-authority is no PEM certificate") from error
    if cluster.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate or key:
        _show(context, certificate, key)
    return context


def _show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Make the context show our certificate, which the ssl module takes from files only."""
    with TemporaryDirectory() as folder:  # readable for us alone
        cert_file, key_file = Path(folder, "cert"), Path(folder, "key")
        cert_file.write_bytes(certificate)
        key_file.write_bytes(key)
        try:
            context.load_cert_chain(cert_file, key_file)
        except (ssl.SSLError, OSError) as error:
            raise SourceLost("kubeconfig: client-certificate and client-key are no pair of PEM files") from error


def _credentials(user: _User, files: "_Files") -> Credentials:
    if user.exec_ is not None:
        files.demand("exec", f"the command {user.exec_.command!r}")
        return ExecToken(user.exec_, files.folder)
    if user.token_file:
        return TokenFile(files.allowed(user.token_file, "tokenFile"))
    return StaticToken(user.token)


def _in_cluster(folder: Path) -> Access:
    """What the kubelet gives to every pod."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise SourceLost("no kubeconfig is set, and this is no pod: KUBERNETES_SERVICE_HOST is not in the environment")
    authority = read_text(folder / "ca.crt", "service account")
    try:
        context = ssl.create_default_context(cadata=authority)
    except ssl.SSLError as error:
        raise SourceLost(f"service account {folder / 'ca.crt'}: no PEM certificate") from error
    server = (
        URL.build(scheme="https", host=host, port=int(port)) if port.isdecimal() else _server(f"https://{host}:{port}")
    )
    return Access(server, context, "", TokenFile(folder / "token"))


class _Files:
    """The files that a kubeconfig may name."""

    def __init__(self, folder: Path, allow: tuple[Allowance, ...]) -> None:
        self.folder = folder
        self._allow = allow

    def demand(self, allowance: Allowance, what: str) -> None:
        """Refuse what the settings don't allow.

        Raises:
            SourceLost: they don't; the message says how they would.
        """
        if allowance not in self._allow:
            raise SourceLost(f"kubeconfig: {what}: refused, unless settings.allow holds {allowance!r}")

    def allowed(self, path: str, field: str) -> Path:
        """The file of that path, as seen from the kubeconfig's folder."""
        whole = self.folder / path
        if not whole.resolve().is_relative_to(self.folder.resolve()):
            self.demand("files", f"{field} {path!r} is outside of its folder")
        return whole

    def content(self, path: str, data: str, field: str) -> bytes:
        """What a field holds, itself (which comes first, as with kubectl) or in a file; empty where it is not there."""
        if data:
            try:
                return base64.b64decode(data, validate=True)
            except binascii.Error as error:
                raise SourceLost(f"kubeconfig: {field}-data is no base64") from error
        return read_text(self.allowed(path, field), field).encode() if path else b""


T = TypeVar("T")


def _parse(path: Path) -> _Kubeconfig:
    text = read_text(path, "kubeconfig")
    try:
        return msgspec.convert(yaml.safe_load(text) or {}, _Kubeconfig)
    except yaml.YAMLError as error:
        raise SourceLost(f"kubeconfig {path}: no YAML") from error  # whose message would quote the file
    except msgspec.ValidationError as error:
        raise SourceLost(f"kubeconfig {path}: {error}") from error


def _find(kind: str, name: str, known: dict[str, T], path: Path) -> T:
    if name not in known:
        raise SourceLost(
            f"kubeconfig {path}: it has no {kind} {name!r}; there are {', '.join(sorted(known)) or 'none'}"
        )
    return known[name]


def _server(text: str) -> URL:
    try:
        server = URL(text)
    except ValueError as error:
        raise SourceLost(f"kubeconfig: server {text[:100]!r} is no URL") from error
    if server.scheme not in ("http", "https") or not server.host or server.user or server.password:
        raise SourceLost("kubeconfig: server: expected https://HOST:PORT")
    return server


def _is_loopback(server: URL) -> bool:
    try:
        return ip_address(server.host or "").is_loopback
    except ValueError:
        return server.host == "localhost"
