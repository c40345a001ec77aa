"""Heard: what a hub that starts shows as stale says for how long nobody has heard its registry."""

import asyncio
from time import monotonic

from immutables import Map

from pilot_plus.catalog import Catalog, Holder, Source
from pilot_plus.journal import heard
from pilot_plus.journal.scribe import wall
from tests.pilot_plus.sync.hubs import Documents, until


async def test_how_long_a_source_was_silent_outlives_the_hub():
    silent = Source(name="zk", kind="zookeeper", zone="east/z")
    never = Source(name="etcd", kind="etcd", zone="east/z")
    holder = Holder(Catalog(epoch="e", sources=Map({"zk": silent, "etcd": never})))
    documents = Documents()
    documents.broken = "the disk is full"
    async with asyncio.TaskGroup() as tasks:
        keeping = tasks.create_task(heard.keep(holder, documents, every=0.01))
        await asyncio.sleep(0)
        spoken = Source(name="zk", kind="zookeeper", zone="east/z", heard=monotonic() - 60.0)
        holder.publish(Catalog(epoch="e", number=1, sources=Map({"zk": spoken, "etcd": never})), frozenset())
        documents.broken = ""
        await until(lambda: "heard" in documents.kinds)
        keeping.cancel()
    silences = await heard.silences(documents, lambda: wall() + 3600.0)
    assert silences.keys() == {"zk"}
    assert 3659.0 <= silences["zk"] < 3720.0
    assert await heard.silences(documents, lambda: 0.0) == {"zk": 0.0}  # a clock that went back
