"""The shelf on disk: for each type, what an Envoy has acknowledged, as the bytes of a delta discovery response.

An agent that starts without a hub serves this. A file that can't be read is as good as none.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from envoy.service.discovery.v3 import discovery_pb2 as pb
from google.protobuf.message import DecodeError

from edge_sidecar.relay.shelf import Item
from pilot_plus.wire.discovery import Type

log = logging.getLogger(__name__)

_FORM: Final = "pilot-plus/1"


def save(folder: Path, type_: Type, items: Mapping[str, Item]) -> None:
    """Replace what is kept of a type, in one step.

    Raises:
        OSError: it can't be written; what was there stays.
    """
    response = pb.DeltaDiscoveryResponse(type_url=type_, system_version_info=_FORM)
    for item in items.values():
        response.resources.add().MergeFromString(item.data)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = _place(folder, type_)
    made = place.with_suffix(".new")
    with made.open("wb") as file:
        file.write(response.SerializeToString())
        file.flush()
        os.fsync(file.fileno())
    made.replace(place)


def load(folder: Path) -> Mapping[Type, Mapping[str, Item]]:
    """What was kept, of each type of which anything was."""
    found = {}
    for type_ in Type:
        try:
            response = pb.DeltaDiscoveryResponse.FromString(_place(folder, type_).read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, DecodeError) as error:
            log.warning("%s can't be read: going on without it: %s", _place(folder, type_), error)
            continue
        if response.system_version_info == _FORM and response.type_url == type_:
            found[type_] = {one.name: Item(one.version, one.SerializeToString()) for one in response.resources}
    return found


def _place(folder: Path, type_: Type) -> Path:
    return folder / f"{type_.name.lower()}.pb"
