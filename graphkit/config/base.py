"""The base of every configuration section: frozen, and no unknown key passes; and the numbers they share."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen table of settings; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    #: Settings that change how a batch is made, but nothing in it: they are no part of its id.
    not_identity: ClassVar[frozenset[str]] = frozenset()
