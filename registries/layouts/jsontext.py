"""JSON as strangers write it: bounded in size and depth, every failure a `ValueError` with a reason for people."""

from typing import Final, TypeVar

import msgspec

MAX_BYTES: Final = 1 << 20
"""A service record larger than this is no service record."""

T = TypeVar("T")


def from_json(data: bytes, kind: type[T]) -> T:
    """Decode a record.

    Raises:
        ValueError: too large, too deep, not UTF-8, no JSON, or not of that shape.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"the record has {len(data)} bytes, more than {MAX_BYTES}")
    return decoded(data, kind)


def decoded(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """As `from_json`, whatever the size.

    Raises:
        ValueError: too deep, not UTF-8, no JSON, or not of that shape.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("the JSON is not UTF-8") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"no usable JSON: {error}") from error


def text_of(data: bytes) -> str:
    """Decode UTF-8 text.

    Raises:
        ValueError: too large, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"the record has {len(data)} bytes, more than {MAX_BYTES}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from error
