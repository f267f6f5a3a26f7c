"""Where train ends: the global time split (paper 5.1.1) that every stage reads off the dataset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from graphkit.config.sections import SplitSection
from graphkit.errors import ConfigError


def time_split(first: datetime, last: datetime, settings: SplitSection) -> tuple[datetime, datetime]:
    """``(cutoff, label_start)`` for interactions from ``first`` to ``last``, both inclusive.

    Test is what happens at or after ``cutoff``: by default the ``horizon_days`` that end with ``last``. The
    ``label_days`` before it, but no more than a third of train, are the towers' label period. With ``holdout =
    "validation"`` both move one horizon into the past. Raises ConfigError for a cut-off that leaves nothing on
    one side.
    """
    horizon = timedelta(days=settings.horizon_days)
    cutoff = settings.cutoff or last - horizon + timedelta(milliseconds=1)
    if cutoff.tzinfo is None:
        cutoff = cutoff.replace(tzinfo=UTC)
    if settings.holdout == "validation":
        cutoff -= horizon
    if not first < cutoff <= last:
        raise ConfigError(
            "the cut-off leaves no train or no test interactions",
            expected=f"split.cutoff after {first.isoformat()} and at or before {last.isoformat()}",
            found=cutoff.isoformat(),
            fix="set split.cutoff or split.horizon_days",
        )
    # A short log keeps two thirds of train for the graph and the histories.
    label_period = min(timedelta(days=settings.label_days), (cutoff - first) / 3)
    return cutoff, cutoff - label_period
