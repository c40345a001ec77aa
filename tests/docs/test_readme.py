"""The README: what it says is true. Its configuration runs over real servers, its links lead somewhere."""

import asyncio
import json
import re
from pathlib import Path

from devservers import Consul, Etcd, ZooKeeper
from tests.pilot_plus.cli.calling import Command

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_link_leads_to_something():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_every_make_target_that_is_named_is_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z]+)\b", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


async def test_the_first_real_configuration_runs(tmp_path: Path, zookeeper: ZooKeeper, consul: Consul, etcd: Etcd):
    text = blocks("yaml")[0]
    for written, real in (
        ("sqlite:///pilot-plus.db", f"sqlite:///{tmp_path}/hub.db"),
        ("127.0.0.1:7080", "127.0.0.1:0"),
        ("127.0.0.1:2181", zookeeper.address),
        ("127.0.0.1:8500", consul.address),
        ("127.0.0.1:2379", etcd.address),
    ):
        assert text.count(written) == 1
        text = text.replace(written, real)
    (tmp_path / "hub.yaml").write_text(text)
    got = await Command("http://127.0.0.1:1")("check", str(tmp_path / "hub.yaml"))
    assert (got.code, got.err) == (0, ""), got.err


async def test_every_command_that_the_readme_shows_is_one(tmp_path: Path):
    call = Command("http://127.0.0.1:1")
    shown = {line.split()[1] for block in blocks("sh") for line in block.splitlines() if "/pilot-plus " in line}
    assert {"check", "run", "get", "register"} <= shown
    async with asyncio.timeout(60):
        for command in sorted(shown):
            assert (await call(command, "--help")).code == 0, command


def test_json_examples_are_json():
    for page in (ROOT / "docs").rglob("*.md"):
        for block in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL):
            json.loads(block)


def test_every_decision_has_a_number_of_its_own_which_its_title_says():
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert len(set(numbers)) == len(numbers)
    for number, page in zip(numbers, pages, strict=True):
        assert re.match(rf"# 0*{number}[.:] ", page.read_text()), page.name
