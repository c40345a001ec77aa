"""The page about HTTP: its requests are made, and answered as it says."""

import json
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pilot_plus.model import Put, Reset
from pilot_plus.views.shapes import InstanceShape
from tests.docs.pages import Shown, blocks, page, transcripts
from tests.pilot_plus.servers.api.asking import Asking
from tests.pilot_plus.servers.api.events import watching
from tests.pilot_plus.servers.api.hub import Hub, copy

PAGE = page("docs/http.md")


def requests() -> list[Shown]:
    """Every curl of the page; a command may go over several lines, as its quotes say."""
    return transcripts(re.sub(r"-d '\n\s*(.*?)'\n", _one_line, PAGE, flags=re.DOTALL), "$ curl ")


def _one_line(found: re.Match[str]) -> str:
    return f"-d {shlex.quote(' '.join(found[1].split()))}\n"


def option(words: tuple[str, ...], name: str, default: str = "") -> str:
    return words[words.index(name) + 1] if name in words else default


async def test_a_registration_and_its_heartbeat_are_answered_as_the_page_says():
    hub = Hub()
    made = [one for one in requests() if "-X" in one.words]
    assert [option(one.words, "-X") for one in made] == ["POST", "PUT"]
    async with Asking(hub) as ask:
        for one in made:
            url = next(word for word in one.words if word.startswith("http://"))
            body = option(one.words, "-d")
            more: dict[str, Any] = {"json": json.loads(body)} if body else {}
            answer = await ask(option(one.words, "-X"), urlsplit(url).path, **more)
            assert answer.is_success
            assert one.is_what(answer.text), answer.text


async def test_a_watch_says_what_the_page_says():
    (shown,) = (one for one in requests() if "-N" in one.words)
    (url,) = (word for word in shown.words if word.startswith("http://"))
    hub = Hub()
    hub.say("own", Reset())
    async with watching(hub, urlsplit(url).query) as watch:
        first = await watch.next()
        hub.say("own", Put(copy("a", namespace="shop")))
        second = await watch.next()
    told = re.findall(r"id: (\S+)\nevent: (\w+)\ndata: (.*)", shown.prints)
    assert [event for _, event, _ in told] == [first.kind, second.kind]
    for (id_, _, data), event in zip(told, (first, second), strict=True):
        assert f'"revision":"{id_}"' in data
        assert event.id == event.data["revision"]
        assert re.findall(r'"(\w+)":', data) == [key for key in event.data if f'"{key}":' in data]


def test_the_instance_of_the_page_has_the_fields_of_every_instance():
    (shown,) = blocks(PAGE, "json")
    assert list(json.loads(shown)) == [field.name for field in msgspec.structs.fields(InstanceShape)]
    assert msgspec.convert(json.loads(shown), InstanceShape).id == "10.1.0.7:20880"
