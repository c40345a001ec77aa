"""Running: run, check and demo, as processes."""

import asyncio
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.pilot_plus.cli.calling import Command

CONFIG = """
cluster: east
journal: sqlite:///{folder}/hub.db
listen: {{http: "127.0.0.1:0"}}
zones: [{{name: mesh}}]
registries: [{{name: own, kind: database, zone: mesh}}]
"""
call = Command("http://127.0.0.1:1")


def written(folder: Path, text: str = CONFIG) -> str:
    path = folder / "hub.yaml"
    path.write_text(text.format(folder=folder))
    return str(path)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("cluster: east\nregistries: [{{name: x}}]\n", "registries[0].kind: required"),
        ("cluster: east\nregistry: []\n", "did you mean `registries`"),
        ("- x\n", "expected a mapping"),
        ("{{", "no YAML"),
    ],
)
async def test_a_wrong_configuration_names_the_key_and_exits_2(tmp_path, text, part):
    path = written(tmp_path, text)
    for words in (["check", path], ["run", "-c", path]):
        got = await call(*words)
        assert (got.code, got.out) == (2, "")
        assert part in got.err
        assert path in got.err
        assert "Traceback" not in got.err


async def test_a_configuration_that_is_not_there_exits_2(tmp_path):
    assert (await call("run", "-c", str(tmp_path / "none.yaml"))).code == 2
    assert (await call("run")).code == 2


async def test_off_loopback_the_hub_does_not_open_to_everybody(tmp_path):
    path = written(tmp_path, CONFIG.replace('"127.0.0.1:0"', '"0.0.0.0:0"'))
    for words in (["run", "-c", path], ["check", path]):
        got = await call(*words)
        assert (got.code, got.out) == (2, "")
        assert "--insecure" in got.err
    assert (await call("check", path, "--insecure")).code == 0


async def test_check_calls_nothing_valid_whose_settings_are_wrong(tmp_path):
    file = tmp_path / "hub.yaml"
    file.write_text(
        "cluster: east\nzones: [{name: x}]\nregistries: [{name: a, kind: etcd, zone: x, settings: {endpoints: 3}}]"
    )
    got = await Command("http://127.0.0.1:1")("check", str(file))
    assert (got.code, got.out) == (2, "")
    assert "registries[0].settings.endpoints" in got.err


async def test_check_tries_every_connection(tmp_path):
    got = await call("check", written(tmp_path))
    assert (got.code, got.err) == (0, "")
    assert "own: ok" in got.out
    nobody = '{{name: c, kind: consul, zone: mesh, settings: {{url: "http://127.0.0.1:1"}}}}'
    lost = CONFIG.replace("registries: [", f"registries: [{nobody}, ")
    lost = lost.replace("{{name: own, kind: database", "{{name: own, kind: memory")
    lost = lost.replace("sqlite:///{folder}/hub.db", "postgresql://nobody@127.0.0.1:1/none").replace(
        '"127.0.0.1:0"', '"127.0.0.1:0", dns: "127.0.0.1:1"'
    )
    got = await call("check", written(tmp_path, f'{lost}peers: [{{{{name: west, address: "127.0.0.1:1"}}}}]'))
    assert got.code == 1
    assert [line.partition(":")[0] for line in got.out.splitlines()[1:]] == ["the journal", "c", "own", "west"]
    assert got.out.count("127.0.0.1:1/none") == 1
    assert "no connection to the journal, c, west" in got.err
    assert "listen.dns: this version does not carry it out yet" in got.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_shows_changes_and_ends_cleanly(number):
    process = await call.start("demo", PYTHONUNBUFFERED="1", COLUMNS="200")
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(60):
        text = ""
        while not re.search(r"\+ shop/orders  orders-1", text):
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            text += line.decode()
        assert "pilot-plus get services" in text
        address = re.search(r"http://127\.0\.0\.1:\d+", text)
        assert address
        got = await Command(address[0])("get", "services", "--namespace", "shop", "-o", "json")
        assert {service["name"] for service in got.json["services"]} <= {"orders", "payments", "web"}
        process.send_signal(number)
        out, err = await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    assert "nothing of it is left" in out.decode()


async def test_an_xds_address_that_is_taken_is_told_and_exits_2(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        listen = f'http: "127.0.0.1:0", xds: "{address}"'
        got = await call("run", "-c", written(tmp_path, CONFIG.replace('http: "127.0.0.1:0"', listen)))
    assert got.code == 2
    assert f"listen.xds: can't listen at {address}" in got.err
    assert "Traceback" not in got.err
