"""How a run that decided several windows ended, in the words that a list of runs shows.

>>> ending([])
Ending(state='Completed', title='nothing was due', message='no window was decided', tags=())

Promise: a run in which an instrument broke never looks like one in which all went well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision, Outcome

State = Literal["Completed", "Blocked", "Degraded"]
_LOUDEST = ("error", "blocked", "promoted", "held", "no_data")


@dataclass(frozen=True)
class Ending:
    """What a list of runs shows of one run.

    Attributes:
        state: ``Degraded`` when an instrument broke (an ERROR, an undrawn report), ``Blocked`` when
            data or a candidate were blocked, else ``Completed``.
        title: the windows, such as ``2013-03-05`` or ``2013-03-05 to 2013-03-26``.
        message: outcomes counted, then the reason of the loudest one.
        tags: every outcome, sorted.
    """

    state: State
    title: str
    message: str
    tags: tuple[str, ...]


def ending(decisions: Sequence[Decision]) -> Ending:
    """Sum up decisions, oldest first."""
    if not decisions:
        return Ending("Completed", "nothing was due", "no window was decided", ())
    counts = Counter(d.outcome for d in decisions)
    loudest = min(decisions, key=lambda d: _LOUDEST.index(d.outcome))
    names = [d.window for d in decisions]
    title = names[0] if names[0] == names[-1] else f"{names[0]} to {names[-1]}"
    return Ending(_state(decisions), title, _message(counts, loudest), tuple(sorted(counts)))


def _message(counts: Mapping[Outcome, int], loudest: Decision) -> str:
    said = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items(), key=lambda c: -c[1]))
    why = f" {loudest.window}: {loudest.reasons[0]}" if loudest.reasons else ""
    return f"{said}.{why}"


def _state(decisions: Sequence[Decision]) -> State:
    if any(_broken(d) for d in decisions):
        return "Degraded"
    return "Blocked" if any(d.outcome == "blocked" for d in decisions) else "Completed"


def _broken(decision: Decision) -> bool:
    errors = any(e.verdict is Verdict.ERROR for e in decision.evidence)
    return decision.outcome == "error" or errors or bool(decision.drift.get("report_error"))
