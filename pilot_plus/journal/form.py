"""How a record lies in the journal: a number for its form, and MessagePack.

A field that is added with a default needs no new form. A changed one does: then an older hub leaves it unread, and a
newer one still knows the numbers of the past, or leaves them unread too. What is unread comes back from its registry.
"""

from typing import Final

import msgspec

from pilot_plus.model import Instance, Service, instance

SERVICE: Final = 1
INSTANCE: Final = 2

_encoder: Final = msgspec.msgpack.Encoder()
_services: Final = msgspec.msgpack.Decoder(Service)
_instances: Final = msgspec.msgpack.Decoder(Instance)


def encode(record: Instance | Service) -> tuple[int, bytes]:
    """Form and payload.

    Raises:
        ValueError: its key or a text in it is no Unicode that a database can hold.
    """
    check_key(record.key)
    return (INSTANCE if isinstance(record, Instance) else SERVICE), _encoder.encode(record)


def check_key(key: str) -> None:
    """Refuse what a database can't hold.

    Raises:
        ValueError: the key holds a NUL, or half of a character.
    """
    if "\0" in key:
        raise ValueError("the key holds a NUL")
    key.encode()


def decode(form: int, payload: bytes) -> Instance | Service | None:
    """The record; None where the form is unknown here, or the payload not what it should be."""
    try:
        if form == INSTANCE:
            return _shared(_instances.decode(payload))
        return _services.decode(payload) if form == SERVICE else None
    except (ValueError, RecursionError):
        return None


def _shared(one: Instance) -> Instance:
    """The same, checked again, and sharing with others what is equal."""
    return instance(**{field: getattr(one, field) for field in Instance.__struct_fields__})
