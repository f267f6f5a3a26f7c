"""Configuration: pydantic sections, TOML presets, ``section.key=value`` overrides."""

from graphkit.config.load import load_config, preset_names
from graphkit.config.sections import Config

__all__ = ["Config", "load_config", "preset_names"]
