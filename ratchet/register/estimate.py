"""What a number of cycles will cost, from what the last ones did.

>>> estimate([], 3)
'3 windows to run; no cycle has run yet to estimate the cost from'
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from ratchet.contracts.lineage import Decision

LAST = 16  # cycles; older ones ran on less history and cost less


def estimate(decisions: Sequence[Decision], windows: int) -> str:
    """A sentence: wall time and rows of ``windows`` more cycles, at the mean of the last ones."""
    asked = f"{windows} window{'' if windows == 1 else 's'} to run"
    ran = [d for d in decisions if d.seconds][-LAST:]
    if not windows or not ran:
        return asked if not windows else f"{asked}; no cycle has run yet to estimate the cost from"
    seconds = fmean(sum(d.seconds.values()) for d in ran)
    rows = fmean(d.rows_in for d in ran)
    return (
        f"{asked}: about {_duration(seconds * windows)} ({seconds:.1f} s a window, mean of the "
        f"last {len(ran)}) and {rows * windows:,.0f} rows"
    )


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"
