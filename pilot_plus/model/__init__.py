"""The nouns, as frozen values that import nothing of ours."""

from pilot_plus.model.instance import (
    NO_ORIGIN,
    NOWHERE,
    ORDINARY_WEIGHT,
    UNKNOWN_PROTOCOL,
    Health,
    Instance,
    Locality,
    Origin,
    Pairs,
    Port,
    instance,
    pairs,
    shared_ports,
)
from pilot_plus.model.service import Service, split_service
from pilot_plus.model.spiffe import Role, SpiffeId, parse_spiffe
from pilot_plus.model.update import Alive, Drop, Put, Reset, Resumed, Skipped, Update
from pilot_plus.model.zone import ACCEPTS, EDGE_ONLY, Speaks, Viewer, Zone, short_zone, whole_zone

__all__ = [
    "ACCEPTS",
    "EDGE_ONLY",
    "NOWHERE",
    "NO_ORIGIN",
    "ORDINARY_WEIGHT",
    "UNKNOWN_PROTOCOL",
    "Alive",
    "Drop",
    "Health",
    "Instance",
    "Locality",
    "Origin",
    "Pairs",
    "Port",
    "Put",
    "Reset",
    "Resumed",
    "Role",
    "Service",
    "Skipped",
    "Speaks",
    "SpiffeId",
    "Update",
    "Viewer",
    "Zone",
    "instance",
    "pairs",
    "parse_spiffe",
    "shared_ports",
    "short_zone",
    "split_service",
    "whole_zone",
]
