"""Presets, card recommendations and ``--set`` overrides, layered into one validated ``Config``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from graphkit.config.sections import Config
from graphkit.errors import ConfigError, did_you_mean
from graphkit.resources import folder

Tables = dict[str, dict[str, Any]]


def preset_names() -> list[str]:
    """The bundled presets, sorted."""
    return sorted(path.stem for path in folder("configs").glob("*.toml"))


def load_config(
    preset: str = "default",
    overrides: Iterable[str] = (),
    recommended: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Defaults < preset < what the dataset's card recommends < ``section.key=value`` overrides.

    ``preset`` is a bundled name or the path of a TOML file. Raises ConfigError, with a did-you-mean,
    for an unknown preset, section, key, or a value of the wrong type.
    """
    layers: list[tuple[str, Tables]] = [(f"preset {preset}", read_preset(preset))]
    if recommended:
        layers.append(("dataset card [config]", {name: dict(table) for name, table in recommended.items()}))
    layers.extend((f"--set {text}", _parse_override(text)) for text in overrides)
    merged: Tables = {}
    for where, tables in layers:
        for section, values in tables.items():
            check_known(section, values, where)
            merged.setdefault(section, {}).update(values)
    return _validate(merged, preset)


def check_known(section: str, values: Any, where: str) -> None:
    """Raise ConfigError unless ``section`` and each key of ``values`` exist."""
    if section not in Config.model_fields:
        raise ConfigError(
            f"unknown config section {section!r}",
            where=where,
            expected=did_you_mean(section, Config.model_fields),
        )
    model = Config.model_fields[section].annotation
    assert isinstance(model, type)  # narrows for mypy: every field of Config is a Section
    assert issubclass(model, BaseModel)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{section!r} is a section, not a value", where=where, fix=f"write {section}.KEY=VALUE")
    for key in values:
        if key not in model.model_fields:
            raise ConfigError(
                f"unknown config key '{section}.{key}'",
                where=where,
                expected=did_you_mean(key, model.model_fields),
            )


def overlaid(config: Config, tables: Mapping[str, Mapping[str, Any]], where: str) -> Config:
    """``config`` with the values of ``tables`` in their place; raises ConfigError, naming ``where`` they are from."""
    merged: Tables = config.model_dump()
    for section, values in tables.items():
        check_known(section, values, where)
        merged[section].update(values)
    return _validate(merged, where)


def read_preset(preset: str) -> Tables:
    """The tables of a bundled preset or of a TOML file; raises ConfigError where there is none."""
    path = Path(preset) if preset.endswith(".toml") else folder("configs") / f"{preset}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"no preset {preset!r}", where=str(path), expected=did_you_mean(preset, preset_names())
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"preset is not valid TOML: {error}", where=str(path)) from None


def _parse_override(text: str) -> Tables:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise ConfigError(f"cannot read --set {text!r}", expected="section.key=value, as in graph.top_k=50")
    return {section: {key: _parse_value(value.strip())}}


def _parse_value(text: str) -> Any:
    """A JSON value, a bare comma list in brackets, or the text as it stands; ``none`` is None."""
    if text.lower() in {"none", "null"}:
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        if text.startswith("[") and text.endswith("]"):
            return [part.strip().strip("'\"") for part in text[1:-1].split(",") if part.strip()]
        return text


def _validate(tables: Tables, preset: str) -> Config:
    # TOML has no null: the text "none" stands for it in presets and cards.
    clean = {s: {k: (None if v == "none" else v) for k, v in values.items()} for s, values in tables.items()}
    try:
        return Config.model_validate(clean)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"config value '{'.'.join(map(str, first['loc']))}': {first['msg']}",
            where=f"preset {preset} and what overrides it",
            found=repr(first["input"]),
            fix="`graphkit config` prints every key with its value",
        ) from None
