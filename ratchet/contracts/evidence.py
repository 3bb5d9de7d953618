"""A check measures; evidence is its number, its threshold and its arithmetic; a verdict follows.

>>> worst([Verdict.PASS, Verdict.WARN])
<Verdict.WARN: 'WARN'>
>>> worst([])  # no evidence never passes
<Verdict.INCONCLUSIVE: 'INCONCLUSIVE'>

The order of severity is defined here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a check concluded. ERROR is a broken instrument, not evidence."""

    PASS = "PASS"
    WARN = "WARN"
    INCONCLUSIVE = "INCONCLUSIVE"
    BLOCK = "BLOCK"
    ERROR = "ERROR"

    @property
    def severity(self) -> int:
        """Rank from 0 (PASS) to 4 (ERROR)."""
        return list(Verdict).index(self)

    @property
    def lets_through(self) -> bool:
        """True for PASS and WARN: all else stops what it judged."""
        return self in (Verdict.PASS, Verdict.WARN)


@dataclass(frozen=True)
class Evidence:
    """One check's number, threshold and arithmetic.

    Attributes:
        check: stable identifier of the check, such as ``gate.improvement``.
        verdict: what follows from the number.
        arithmetic: the sentence a person reads, such as ``labelled share 0.31 < minimum 0.50``.
        measured: the number, or None where the check could not measure.
        threshold: what it was compared with, or None.
        details: further JSON-serialisable facts.
    """

    check: str
    verdict: Verdict
    arithmetic: str
    measured: float | None = None
    threshold: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A dict that ``json.dumps(allow_nan=False)`` takes; NaN and infinities become None."""
        out: dict[str, Any] = _finite(asdict(self))
        return {**out, "verdict": self.verdict.value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Evidence:
        """The inverse of :meth:`as_json`."""
        return cls(**{**value, "verdict": Verdict(value["verdict"])})


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe verdict; INCONCLUSIVE for none, because no evidence never passes."""
    return max(verdicts, key=lambda v: v.severity, default=Verdict.INCONCLUSIVE)


_BY_TRUTH = ("control.", "audit.", "source.")  # compared with rows or records of another path
_TOTALS = ("rows.count", "rows.quarantined_share")  # follow from what others found


def telling(evidence: Evidence) -> tuple[int, int]:
    """Sort key, the most telling first: by severity; of one verdict what was compared with the
    truth, then what names a fault, then totals that only follow from these.

    >>> found = [Evidence(c, Verdict.BLOCK, "") for c in ("rows.count", "suite.x", "control.match")]
    >>> [e.check for e in sorted(found, key=telling)]
    ['control.match', 'suite.x', 'rows.count']
    """
    check = evidence.check
    kind = 0 if check.startswith(_BY_TRUTH) else 2 if check.startswith(_TOTALS) else 1
    return -evidence.verdict.severity, kind


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
