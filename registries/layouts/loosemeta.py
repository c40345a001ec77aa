"""Metadata as strangers write it: any JSON, mostly an object of strings, with a weight in it now and then."""

from typing import Final

import msgspec

from pilot_plus.model import ORDINARY_WEIGHT

WEIGHT: Final = "weight"


def loose_metadata(value: object) -> dict[str, str]:
    """Text by name. Numbers, lists and objects become their JSON; what is no object gets the name `metadata`."""
    if not value:
        return {}
    if not isinstance(value, dict):
        return {"metadata": _text(value)}
    return {str(name): item if isinstance(item, str) else _text(item) for name, item in value.items()}


def take_weight(metadata: dict[str, str], ordinary: int = ORDINARY_WEIGHT) -> float:
    """Our weight, from an entry `weight` that is a number and is taken out; `ordinary` is what means 100 of ours.

    An entry that is no usable weight stays what it is: metadata.
    """
    text = metadata.get(WEIGHT)
    if text is None:
        return ORDINARY_WEIGHT
    try:
        weight = float(text) * ORDINARY_WEIGHT / ordinary
    except ValueError:
        return ORDINARY_WEIGHT
    if not 0 <= weight <= 1_000_000:
        return ORDINARY_WEIGHT
    del metadata[WEIGHT]
    return weight


def weight_text(weight: int, ordinary: int = ORDINARY_WEIGHT) -> str:
    """Our weight in the scale of `ordinary`, as text."""
    return f"{weight * ordinary / ORDINARY_WEIGHT:.10g}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
