"""Frozen: what an edge's Envoy was given by its hub, as a static configuration for another Envoy, and that Envoy."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from devservers.parts import ENVOY, tool
from edge_sidecar.bootstrap import admin_socket, bootstrap
from edge_sidecar.envoy.process import end
from pilot_plus.leash import leashed

OWN = "pilot-plus/own"


async def frozen(data: Path, moved: Mapping[str, str]) -> dict[str, Any]:
    """The bootstrap of an Envoy that does what the one of an agent does; `moved`: other addresses for some."""
    transport = httpx.AsyncHTTPTransport(uds=str(data / admin_socket(1)))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin", trust_env=False) as client:
        text = (await client.get("/config_dump?include_eds")).text
    for old, new in moved.items():
        text = text.replace(old, new)
    parts = {one["@type"].rpartition(".")[2]: one for one in json.loads(text)["configs"]}
    endpoints = [one["endpoint_config"] for one in parts["EndpointsConfigDump"].get("dynamic_endpoint_configs", ())]
    assigned = {one["cluster_name"]: _bare(one) for one in endpoints}
    clusters = [one["cluster"] for one in parts["ClustersConfigDump"]["dynamic_active_clusters"]]
    listeners = [one["active_state"]["listener"] for one in parts["ListenersConfigDump"]["dynamic_listeners"]]
    secrets = [one["secret"] for one in parts["SecretsConfigDump"]["dynamic_active_secrets"]]
    static = {
        "clusters": [_static(one, assigned) for one in clusters],
        "listeners": [
            _bare(one) for one in listeners if one["name"] != "http"
        ],  # its routes come apart: nobody calls it
        "secrets": [_own() if one["name"] == OWN else one for one in map(_bare, secrets)],
    }
    made = dict(bootstrap(node="static", zone="static", number=1))
    del made["dynamic_resources"]
    return {**made, "static_resources": static}


def without(part: str, content: Any) -> Any:
    """A configuration without anything that has that name."""
    match content:
        case dict():
            return {name: without(part, value) for name, value in content.items() if name != part}
        case list():
            return [without(part, one) for one in content]
    return content


@asynccontextmanager
async def envoy_with(content: Mapping[str, Any], data: Path, identity: Path) -> AsyncIterator[int]:
    """An Envoy with that bootstrap and somebody's identity; its process id, once it serves."""
    await asyncio.to_thread(shutil.copytree, identity, data / "identity", symlinks=False)
    (data / "run").mkdir()
    place = data / "run" / "envoy.json"
    place.write_text(json.dumps(content))
    options = ("--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--drain-strategy", "immediate")
    command = leashed(str(tool(ENVOY).path), "-c", str(place), *options)
    process = await asyncio.create_subprocess_exec(*command, cwd=data)
    try:
        await _serves(data / admin_socket(1))
        yield process.pid
    finally:
        await end(process)


async def _serves(place: Path) -> None:
    transport = httpx.AsyncHTTPTransport(uds=str(place))
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(transport=transport, base_url="http://admin", trust_env=False) as client,
    ):
        while True:
            try:
                if (await client.get("/ready")).text.strip() == "LIVE":
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def _static(cluster: dict[str, Any], assigned: Mapping[str, Any]) -> Any:
    if cluster.get("type") == "EDS":
        name = cluster["name"]
        cluster = {**cluster, "type": "STATIC", "load_assignment": assigned[name]}
        del cluster["eds_cluster_config"]
    return _bare(cluster)


def _bare(content: dict[str, Any]) -> Any:
    """A message as it stands in a bootstrap, where its type is known; its secrets are static ones."""
    return without("sds_config", {name: value for name, value in content.items() if name != "@type"})


def _own() -> dict[str, Any]:
    """A dump shows no key, nor where it is."""
    pair = {"certificate_chain": {"filename": "identity/chain.pem"}, "private_key": {"filename": "identity/key.pem"}}
    return {"name": OWN, "tls_certificate": pair}
