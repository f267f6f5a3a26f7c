"""What the audit looks at and what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from graphkit.stages import STAGES

if TYPE_CHECKING:
    from graphkit.audit.run import AuditedRun

CLEAN: Final = "clean"
LEAK: Final = "LEAK"
NOT_MADE: Final = "not made yet"
NOT_APPLICABLE: Final = "not applicable"

Result = Literal["clean", "LEAK", "not made yet", "not applicable"]
#: The first offending row with external ids, and ``why`` it offends.
Facts = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """``checked`` units were looked at; ``first`` is the first that offends.

    Where none could be: ``skipped`` says why nothing is to be checked, ``missing`` what is to be made first.
    """

    checked: int = 0
    first: Facts | None = None
    skipped: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Check:
    """One thing that must hold of a stage's current batch."""

    stage: str
    claim: str
    unit: str
    look: Callable[[AuditedRun], Outcome]


@dataclass(frozen=True)
class Finding:
    """The result of one check; ``first_offender`` is there exactly where it is a leak."""

    stage: str
    check: str
    checked: int
    unit: str
    result: Result
    note: str = ""
    first_offender: Facts = field(default_factory=dict)

    @property
    def is_leak(self) -> bool:
        return self.result == LEAK


def finding(check: Check, run: AuditedRun) -> Finding:
    """Do one check, unless its stage is not made yet."""
    missing = Outcome(missing=f"run `{STAGES[check.stage].command}`")
    outcome = check.look(run) if check.stage in run.batches else missing
    result: Result = CLEAN
    if outcome.missing or outcome.skipped:
        result = NOT_MADE if outcome.missing else NOT_APPLICABLE
    elif outcome.first is not None:
        result = LEAK
    note = outcome.missing or outcome.skipped
    return Finding(check.stage, check.claim, outcome.checked, check.unit, result, note, outcome.first or {})
