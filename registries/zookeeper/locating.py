"""Locating: the nodes of records whose key is not a node's path. Dubbo's and SOFARPC's node is a whole URL.

    /dubbo/a.B:1.0@dubbo://10.1.0.7:20880     a key, and where it lies now:
    /dubbo/a.B/providers/dubbo%3A%2F%2F10.1.0.7%3A20880%2Fa.B%3Fversion%3D1.0%26weight%3D50

Nothing is kept for it: the directory is listed when somebody asks.
"""

from collections.abc import Mapping, Sequence

from pilot_plus.model import Instance
from registries.layouts.layout import Raw
from registries.layouts.tree import Place, TreeLayout
from registries.zookeeper.connection import Connection
from registries.zookeeper.requests import Children
from registries.zookeeper.tree import breathing


async def located(
    session: Connection, layouts: Sequence[TreeLayout], keys: Sequence[str]
) -> Mapping[str, Sequence[str]]:
    """The paths of the nodes that speak for each key, of those whose key is no path.

    Raises:
        SourceLost: a directory can't be listed.
    """
    wanted = set(keys)
    directories = {
        directory: layout
        for key in keys
        for layout in layouts
        if (directory := layout.directory(key)) is not None and layout.place(key) not in (Place.NAME, Place.DATA)
    }
    listed = await session.ask([Children(directory, watch=False) for directory in directories])
    found: dict[str, list[str]] = {}
    for (directory, layout), names in zip(directories.items(), listed, strict=True):
        async for name in breathing(names or ()):
            path = f"{directory}/{name}"
            if (key := _key_of(layout, path)) in wanted:
                found.setdefault(key, []).append(path)
    return found


def _key_of(layout: TreeLayout, path: str) -> str:
    """The key of the record that a node's name says; empty if it says none."""
    try:
        said = layout.decode(Raw(path)) if layout.place(path) is Place.NAME else ()
    except ValueError:
        return ""
    return next((one.key for one in said if isinstance(one, Instance)), "")
