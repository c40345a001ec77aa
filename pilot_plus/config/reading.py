"""Reading a configuration: YAML, secrets from elsewhere, and everything checked before anything starts."""

import os
import re
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from pilot_plus.config.explaining import explained
from pilot_plus.config.names import check_names
from pilot_plus.config.references import check_identity, check_places, check_references
from pilot_plus.config.sections import Config, ConfigError, Duration, Size
from pilot_plus.quantities import Address, bytes_of, seconds_of


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read a configuration file: YAML, or JSON, which is YAML.

    Raises:
        ConfigError: it can't be read or used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from error
    try:
        return parse(text, environ)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse(text: str, environ: Mapping[str, str] = os.environ) -> Config:
    """Validate a configuration's text.

    Raises:
        ConfigError: it can't be used.
    """
    try:
        tree = yaml.load(text, _Loader)  # noqa: S506 - a safe one
        if not isinstance(tree, dict):
            raise ConfigError(f"expected a mapping with at least `cluster`, found {_kind_of(tree)}")
        tree = _with_secrets(tree, "", environ)
    except RecursionError as error:
        raise ConfigError("no YAML: it is nested too deeply, or an alias (`*NAME`) stands inside its anchor") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"no YAML: {' '.join(str(error).split()) or type(error).__name__}") from error
    try:
        config = msgspec.convert(tree, Config, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(explained(str(error), tree)) from error
    check_places(config)
    check_references(config)
    check_names(config)
    check_identity(config.identity)
    return config


class _Loader(yaml.SafeLoader):
    """YAML without surprises: a key that is there twice is an error, and not whichever came last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping of keys that differ."""
        known: set[str] = set()
        for key, _ in node.value:
            if key.value in known:
                place = f"line {key.start_mark.line + 1}, column {key.start_mark.column + 1}"
                raise ConfigError(f"{key.value}: the key is there twice in one mapping ({place})")
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                known.add(key.value)
        return super().construct_mapping(node, deep)


def _decode(kind: type, value: object) -> object:
    makers: dict[type, Callable[[str], object]] = {Address: Address, Duration: _duration, Size: _size}
    maker = makers.get(kind)
    if maker is None:
        raise NotImplementedError(kind)
    return maker(value if isinstance(value, str) else str(value))


def _duration(text: str) -> Duration:
    return Duration(seconds_of(text))


def _size(text: str) -> Size:
    return Size(bytes_of(text))


_SECRET: Final = re.compile(r"\$\{(env|file):([^}]+)\}")


def _with_secrets(node: object, place: str, environ: Mapping[str, str]) -> Any:
    """The tree with `${env:NAME}` and `${file:PATH}` replaced in its strings."""
    if isinstance(node, dict):
        return {
            key: _with_secrets(value, f"{place}.{key}" if place else str(key), environ) for key, value in node.items()
        }
    if isinstance(node, list):
        return [_with_secrets(value, f"{place}[{index}]", environ) for index, value in enumerate(node)]
    if isinstance(node, str):
        return _SECRET.sub(lambda found: _secret(found[1], found[2], place, environ), node)
    return node


def _secret(source: str, name: str, place: str, environ: Mapping[str, str]) -> str:
    if source == "env":
        if name not in environ:
            raise ConfigError(f"{place}: the environment variable {name} is not set")
        return environ[name]
    try:
        return Path(name).read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{place}: the file {name} can't be read: {error}") from error


def _kind_of(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
