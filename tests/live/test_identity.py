"""What identity gives, in the hands of those it is for: a real Envoy over the data folder, and OpenSSL's own check."""

import asyncio
import hashlib
import json
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from devservers.envoy import Envoy
from devservers.network import free_port
from devservers.pytest_plugin import Fresh
from pilot_plus.model import Role
from pilot_plus.wire.certificates import fingerprint, serial
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.joining import keep_trust
from pilot_plus.wire.trust import Held
from tests.pilot_plus.identity.company import DAY, Company

pytestmark = pytest.mark.live

TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


@pytest.fixture
async def company() -> Company:
    return await Company().open()


def secret(place: Path, name: str, content: Mapping[str, object]) -> Mapping[str, object]:
    """A secret by SDS from a file that never changes; what it names is watched."""
    text = {"resources": [{"@type": f"{TYPE}.Secret", "name": name, **content}]}
    file = place / f"{name}.json"
    file.write_text(json.dumps(text))
    source = {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}


def gateway(folder: Folder, place: Path, port: int) -> Mapping[str, object]:
    """An Envoy that answers `ok` over mutual TLS, by the files of a data folder."""

    def file(name: str) -> Mapping[str, str]:
        return {"filename": str(folder.current / name)}

    watched = {"watched_directory": {"path": str(folder.path)}}
    own = {"tls_certificate": {"certificate_chain": file("chain.pem"), "private_key": file("key.pem"), **watched}}
    others = {"validation_context": {"trusted_ca": file("bundle.pem"), "crl": file("crl.pem"), **watched}}
    tls = {
        "@type": f"{TYPE}.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [secret(place, "own", own)],
            "validation_context_sds_secret_config": secret(place, "others", others),
        },
    }
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    http = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = {
        "@type": http,
        "stat_prefix": "gateway",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
    }
    chain = {
        "filters": [{"name": "http", "typed_config": manager}],
        "transport_socket": {"name": "tls", "typed_config": tls},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    node = {"id": "edge-1", "cluster": "vm"}
    return {
        "node": node,
        "static_resources": {"listeners": [{"name": "gateway", "address": address, "filter_chains": [chain]}]},
    }


class Caller:
    """A connection to the gateway, with or without an identity."""

    def __init__(self, port: int, folder: Folder, held: Held | None) -> None:
        self._port = port
        self._context = ssl.create_default_context(cafile=str(folder.current / "bundle.pem"))
        self._context.check_hostname = False
        if held is not None:
            own = Folder(folder.path.with_name(f"caller-{serial(held.chain[0])}"))
            own.keep(held)
            self._context.load_cert_chain(own.current / "chain.pem", own.current / "key.pem")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context, server_hostname="any")

    async def is_answered(self) -> bool:
        try:
            async with asyncio.timeout(20):
                reader, writer = await self.connect()
                answered = await ask(reader, writer)
                writer.close()
                return answered
        except (OSError, asyncio.IncompleteReadError):
            return False


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"GET / HTTP/1.1\r\nHost: any\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    return head.startswith(b"HTTP/1.1 200") and await reader.readexactly(2) == b"ok"


async def shown_to(caller: Caller) -> bytes:
    """The fingerprint of the certificate that a new connection is shown."""
    _, writer = await caller.connect()
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return hashlib.sha256(shown).digest()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Envoy says nothing when it has read files anew: so ask again and again."""
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 - Envoy has no event to wait for
            await asyncio.sleep(0.02)


async def test_an_envoy_rotates_over_the_folder_without_losing_a_connection(
    company: Company, fresh: Fresh, tmp_path: Path
) -> None:
    folder, port = Folder(tmp_path / "data"), free_port()
    await company.revocations.revoke("01", until=company.clock() + DAY)
    await company.authority.refresh()
    held = company.held()
    folder.keep(held)
    fresh(Envoy, gateway(folder, tmp_path, port))

    client = company.held(Role.CLIENT, "web-7")
    caller = Caller(port, folder, client)
    stranger = (await Company().open()).held(Role.CLIENT, "web-7")
    assert await caller.is_answered()
    assert not await Caller(port, folder, None).is_answered()
    assert not await Caller(port, folder, stranger).is_answered()

    reader, writer = await caller.connect()
    assert await ask(reader, writer)
    await company.authority.rotate()
    younger = company.held()
    folder.keep(younger)

    async def is_younger() -> bool:
        return await shown_to(caller) == fingerprint(younger.chain[0])

    await until(is_younger)
    assert await ask(reader, writer)  # the connection from before
    assert await caller.is_answered()

    await company.revocations.revoke(serial(client.chain[0]), until=company.clock() + DAY)
    await company.authority.refresh()
    keep_trust(younger, company.authority.trust, folder)

    async def is_refused() -> bool:
        return not await caller.is_answered()

    await until(is_refused)
    assert await Caller(port, folder, company.held(Role.CLIENT, "web-8")).is_answered()
    writer.close()


async def test_openssl_believes_every_leaf_in_its_strictest_mode(company: Company, tmp_path: Path) -> None:
    await company.revocations.revoke("01", until=company.clock() + timedelta(days=1))
    await company.authority.refresh()
    folder = Folder(tmp_path)
    folder.keep(company.held())
    files = [str(folder.current / name) for name in ("bundle.pem", "crl.pem", "chain.pem")]
    command = ["openssl", "verify", "-x509_strict", "-crl_check", "-CAfile", files[0], "-CRLfile", files[1], files[2]]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await process.communicate()
    assert process.returncode == 0, said
