"""The page about xDS: an Envoy in five minutes, as the page says, and what the commands then show."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from devservers import free_port
from devservers.envoy import Envoy
from tests.docs.pages import blocks, page, transcripts
from tests.feature.hub import Hub
from tests.live.traffic import Backend, traffic
from tests.pilot_plus.cli.calling import Command

PAGE = page("docs/xds.md")


def step(command: str) -> list[str]:
    """The words of a command that the page tells to run."""
    (found,) = re.findall(rf"^pilot-plus ({command}.*?)(?: > \S+)?$", blocks(PAGE, "sh")[0], re.MULTILINE)
    return shlex.split(found)


async def test_an_envoy_in_five_minutes(tmp_path: Path):
    sections: dict[str, Any] = yaml.safe_load(blocks(PAGE, "yaml")[0])
    hub = Hub(tmp_path, **{name: sections[name] for name in ("zones", "registries")})
    outbound = f"127.0.0.1:{free_port()}"
    call = Command(hub.url)
    hub.start()
    try:
        await hub.until_state("own", "synced")
        async with Backend("web") as web:
            words = [word.replace("8000", str(web.port)) for word in step("register")]
            assert (await call(*words)).code == 0
            real = {"127.0.0.1:15010": hub.xds, "127.0.0.1:15001": outbound}
            made = await call(*(real.get(word, word) for word in step("bootstrap envoy")))
            with Envoy(json.loads(made.out)):
                async with traffic(outbound, "web.vm.mesh") as calls:
                    await calls.until_answered_by("web")
                await hub.until(lambda: hub.get("/proxies"), lambda got: got["proxies"][0]["state"] == "synced")
                (shown,) = transcripts(PAGE)
                got = await call(*shown.words)
                assert re.fullmatch(re.escape(squeezed(shown.prints)).replace("…", ".*"), squeezed(got.out)), got.out
    finally:
        hub.close()


def squeezed(text: str) -> str:
    """Without what differs each time: how wide columns are."""
    return " ".join(text.split())
