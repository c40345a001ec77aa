"""Throw-away certificates do what real ones do."""

import asyncio
import datetime as dt
import ssl
from pathlib import Path

import pytest

from devservers import Authority, Certificate, Tls


async def greet(tls: Tls, served: Certificate) -> str:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tls.ca))
    context.load_cert_chain(served.cert, served.key)
    context.verify_mode = ssl.CERT_REQUIRED

    async def greeting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = dict(pair[0] for pair in writer.get_extra_info("peercert")["subject"])
        writer.write(subject["commonName"].encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greeting, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls.client_context())
        text = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        return text


async def test_both_sides_prove_who_they_are(tls: Tls) -> None:
    assert await greet(tls, tls.server) == "client"


async def test_an_expired_certificate_and_another_authority_are_refused(tls: Tls, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    expired = Tls(authority.path, authority.issue("old", lasts=dt.timedelta(days=-1)), authority.issue("client"))
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await greet(expired, expired.server)
    with pytest.raises(ssl.SSLCertVerificationError):
        await greet(Tls(tls.ca, expired.server, tls.client), expired.server)
