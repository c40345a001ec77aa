"""A bare gRPC server that sends bytes which are there already: what the hub's xDS is measured against."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc import aio

from bench.harness.streams import METHOD
from devservers import free_port
from pilot_plus.model import Role
from pilot_plus.servers.xds.address import OPTIONS
from pilot_plus.wire.folder import Folder
from pilot_plus.wire.serving import server_credentials
from pilot_plus.wire.trust import Held
from tests.pilot_plus.identity.company import Company


@asynccontextmanager
async def bare_server(bodies: list[str], folder: Path) -> AsyncIterator[tuple[str, int, Held]]:
    """A gRPC server in a process of its own that sends these bytes, one for each type asked for."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    await asyncio.to_thread((folder / "bodies.json").write_text, json.dumps(bodies))
    port = free_port()
    code = f"import asyncio; from bench.harness.bare import serve; asyncio.run(serve({str(folder)!r}, {port}))"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    held = Folder(folder / "client").held()
    assert held is not None
    try:
        yield f"127.0.0.1:{port}", process.pid, held
    finally:
        process.kill()
        await process.wait()


async def serve(place: str, port: int) -> None:
    folder = Path(place)
    bodies = [bytes.fromhex(one) for one in json.loads((folder / "bodies.json").read_text())]
    company = await Company().open()
    Folder(folder / "client").keep(company.held(Role.CLIENT, "web-7"))

    async def discover(_: object, context: aio.ServicerContext[bytes, bytes]) -> None:
        for body in bodies:
            await context.read()
            await context.write(body)
        while isinstance(await context.read(), bytes):
            pass

    server = aio.server(options=OPTIONS)
    service, method = METHOD.strip("/").split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(discover)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_secure_port(f"127.0.0.1:{port}", server_credentials(company.authority.serving))
    await server.start()
    print("ready", flush=True)
    await asyncio.Event().wait()
