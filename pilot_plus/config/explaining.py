"""Explaining what is wrong: the decoder's sentence, with the key in front and what was found or meant behind it."""

import re
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from pilot_plus.config.sections import Config, Section


def explained(message: str, tree: object) -> str:
    """msgspec's sentence, with the place in front and what was found or meant behind it."""
    sentence, _, path = message.partition(" - at `")
    place = path.removesuffix("`").removeprefix("$").removeprefix(".")
    place = place.replace("[...]", "")
    if unknown := re.match(r"Object contains unknown field `(.*)`", sentence):
        where = f"{place}.{unknown[1]}" if place else unknown[1]
        known = _fields_at(place)
        close = get_close_matches(unknown[1], known, 1)
        hint = f"; did you mean `{close[0]}`?" if close else f"; known here: {', '.join(known)}" if known else ""
        return f"{where}: unknown key{hint}"
    if missing := re.match(r"Object missing required field `(.*)`", sentence):
        return f"{place + '.' if place else ''}{missing[1]}: required, but not there"
    if sentence.startswith("Invalid enum value") and (choices := _choices_in(_kind_at(place))):
        sentence = f"expected {' or '.join(choices)}"
    return f"{place}: {_plain(sentence)}{_found(sentence, tree, place)}"


def _plain(sentence: str) -> str:
    pattern = re.match(r"Expected `str` matching regex (.*)", sentence)
    sentence = f"expected a name that matches {pattern[1]}" if pattern else sentence
    return sentence[:1].lower() + sentence[1:]


def _found(sentence: str, tree: object, place: str) -> str:
    value = _at(tree, place)
    secret = re.search(r"(secret|password|token|credential)[^.]*$", place)
    if value is None or secret or isinstance(value, dict | list) or ", found " in sentence:
        return ""
    return f", found {str(value)[:80]!r}"


def _at(tree: object, place: str) -> object:
    for step in re.findall(r"[^.\[\]]+", place):
        if isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
        elif isinstance(tree, dict) and step in tree:
            tree = tree[step]
        else:
            return None
    return tree


def _fields_at(place: str) -> list[str]:
    """The keys that are known at a place."""
    section = _section_in(_kind_at(place))
    return [field.encode_name for field in msgspec.structs.fields(section)] if section else []


def _kind_at(place: str) -> Any:
    """The type of what stands at a place, found by walking the types."""
    kind: Any = Config
    for step in re.findall(r"[^.\[\]]+", place):
        if not step.isdecimal():
            kind = _field_of(kind, step)
    return kind


def _choices_in(kind: Any) -> list[str]:
    """The words that a type allows."""
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    return [word for part in get_args(kind) for word in _choices_in(part)]


def _field_of(kind: Any, step: str) -> Any:
    section = _section_in(kind)
    if section is None:
        return None
    hints = get_type_hints(section)
    return next((hints[f.name] for f in msgspec.structs.fields(section) if f.encode_name == step), None)


def _section_in(kind: Any) -> type[Section] | None:
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind
    if get_origin(kind) is None:
        return None
    return next((found for part in get_args(kind) if (found := _section_in(part))), None)
