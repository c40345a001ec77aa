"""Reload: what changes at once, what waits, and what is refused."""

import asyncio
import os
import signal

import pytest

from pilot_plus.config import Config, ConfigError, parse
from pilot_plus.reload import AT_ONCE, reloaded, reloading

PATIENCE = 30.0


def configured(**sections: object) -> Config:
    whole = {
        "cluster": "east",
        "zones": [{"name": "vm"}, {"name": "mesh"}],
        "registries": [{"name": name, "kind": "memory", "zone": "vm"} for name in ("a", "b")],
        **sections,
    }
    return parse(repr(whole), {})


RULE = {"name": "r", "from": {"registries": ["a"]}, "to": "b"}


def test_rules_exports_and_zones_change_at_once():
    exports = [{"services": ["*/*"]}]
    found = reloaded(configured(), configured(sync=[RULE], exports=exports, zones=[{"name": "vm", "meshed": True}]))
    assert found.waiting == ()
    assert [rule.name for rule in found.config.sync] == ["r"]
    assert len(found.config.exports) == 1
    assert [(zone.name, zone.meshed) for zone in found.config.zones] == [("vm", True)]


def test_what_a_running_hub_stands_on_waits_and_the_rest_goes_on():
    found = reloaded(configured(), configured(sync=[RULE], listen={"http": "127.0.0.1:9"}, mesh={"domain": "other"}))
    assert found.waiting == ("listen", "mesh")
    assert found.config.listen == configured().listen
    assert len(found.config.sync) == 1


def test_a_rule_about_a_registry_that_waits_for_a_restart_is_refused_and_says_so():
    more = [{"name": name, "kind": "memory", "zone": "vm"} for name in ("a", "b", "c")]
    with pytest.raises(ConfigError, match=r"sync\[0\].to: 'c' is not among .*changes of registries wait for a restart"):
        reloaded(configured(), configured(registries=more, sync=[RULE | {"to": "c"}]))


async def test_a_hangup_tells_every_part_and_a_wrong_file_changes_nothing():
    files: list[Config | ConfigError] = [
        configured(sync=[RULE]),
        ConfigError("sync[0].to: required, but not there"),
        configured(),
    ]
    told: asyncio.Queue[Config] = asyncio.Queue()
    read = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load() -> Config:
        loop.call_soon_threadsafe(read.set)
        found = files.pop(0)
        if isinstance(found, ConfigError):
            raise found
        return found

    async def hang_up() -> None:
        read.clear()
        os.kill(os.getpid(), signal.SIGHUP)
        await read.wait()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a signal too early must not end the tests
    try:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(reloading(configured(), load, [told.put_nowait]))
            await asyncio.sleep(0)
            await hang_up()
            assert [rule.name for rule in (await told.get()).sync] == ["r"]
            await hang_up()
            await hang_up()
            assert (await told.get()).sync == ()
            assert told.empty()
            task.cancel()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_every_section_that_changes_at_once_is_one():
    assert set(AT_ONCE) <= set(Config.__struct_fields__)
