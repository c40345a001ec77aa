"""Encoding: protobuf messages made by joining ready bytes.

On the wire a message is its fields one after the other, in any order, and a nested message is its length and its
bytes. So what hardly changes is made once, with the generated classes, and what does change is joined to it:

    Cluster     = field(1, b"http.orders.shop.mesh") + what all clusters of a kind have in common
    assignment  = field(1, name) + field(2, group) + field(2, group)

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.json_format import ParseDict

_SMALL: Final = tuple(bytes([number]) for number in range(128))
_LENGTH_DELIMITED: Final = 2


def varint(number: int) -> bytes:
    """A number from 0 on, in as few bytes as it needs."""
    if number < 128:
        return _SMALL[number]
    parts = bytearray()
    while number >= 128:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def field(number: int, payload: bytes) -> bytes:
    """A field that holds a text, bytes or a nested message."""
    return field_head(number, len(payload)) + payload


def field_head(number: int, length: int) -> bytes:
    """What stands before the bytes of such a field."""
    if length < 128 and number < 16:
        return _SMALL[number << 3 | _LENGTH_DELIMITED] + _SMALL[length]
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(length)


def text_field(number: int, text: str) -> bytes:
    """A field that holds a text. What UTF-8 can't hold becomes `?`: a locality is whatever a registry says."""
    return field(number, text.encode(errors="replace"))


def number_field(number: int, value: int) -> bytes:
    """A field that holds a number or an enumeration's value."""
    return varint(number << 3) + varint(value)


def boxed(value: int) -> bytes:
    """A `UInt32Value`."""
    return number_field(1, value) if value else b""


def encoded(message: Any, content: Mapping[str, object]) -> bytes:
    """A message of a generated class, from its JSON form; the same content gives the same bytes.

    For what is made seldom: it costs about a hundred times what joining costs.
    """
    made = message()
    ParseDict(dict(content), made)
    return bytes(made.SerializeToString(deterministic=True))
