"""The base of every configuration section: frozen, and no unknown key passes."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen table of settings; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    #: Settings that change how a batch is made, but nothing in it: they are no part of its id.
    not_identity: ClassVar[frozenset[str]] = frozenset()
