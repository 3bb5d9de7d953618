"""Labels blocked window after window, looked at together: noise, or a world that moved?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ratchet import validate as rules
from ratchet.contracts.columns import EVENT, LABEL, LANDED_LABELS
from ratchet.contracts.evidence import Evidence, Verdict
from tasks.arrivals import without_revoked
from tasks.labelled import numbers, rows_of_labels, seed_of

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.clock import Window
    from ratchet.contracts.lineage import Decision
    from tasks.cycle import Cycle

CHECK = "labels.agreement"


def reconsider(
    cycle: Cycle, window: Window, fresh: pa.Table, evidence: Sequence[Evidence]
) -> list[Evidence]:
    """The evidence on a window's labels, in the light of the windows before that were blocked."""
    after = cycle.workspace.definition.validate_.moved_after
    stops = [e for e in evidence if not e.verdict.lets_through]
    if not after or window != cycle.window or [e.check for e in stops] != [CHECK]:
        return list(evidence)
    (blocked,) = stops
    if blocked.verdict is not Verdict.BLOCK:
        return list(evidence)
    in_a_row = 1 + suspicious(cycle.history)
    if in_a_row < after:
        text = f"number {in_a_row} in a row; from {after} on they are looked at together"
        found = replace(blocked, arithmetic=f"{blocked.arithmetic}; {text}")
    else:
        first = max(window.index - in_a_row + 1, window.index - rules.REMEMBERED)
        columns = cycle.workspace.landing_tables.read(LANDED_LABELS, windows=(first, window.index))
        labels, _ = without_revoked(cycle, window, columns, "label")
        found = rules.moved(
            blocked,
            _sample(cycle, window, fresh),
            _sample(cycle, window, labels),
            cycle.workspace.definition,
            in_a_row=in_a_row,
            seed=seed_of(cycle, window, fresh),
        )
    return [found if e is blocked else e for e in evidence]


def suspicious(history: Sequence[Decision]) -> int:
    """How many of the newest decided windows in a row had labels that the champion did not know.

    Args:
        history: done decisions, oldest first.
    """
    count = 0
    for decision in reversed(history):
        judged = [e for e in decision.evidence if e.check == CHECK]
        if decision.again or not judged:
            continue  # the same window once more, or one without labels
        if judged[0].verdict.lets_through and "foretold" not in judged[0].details:
            break
        count += 1
    return count


def _sample(cycle: Cycle, window: Window, labels: pa.Table) -> rules.Sample:
    """The accepted rows of these labels, in their order; labels of others are left out."""
    import numpy as np
    import pyarrow as pa

    columns = [EVENT, *cycle.workspace.definition.features]
    rows, known = rows_of_labels(cycle, window, labels, columns)
    if not rows.num_rows:
        return rules.Sample(rows, np.empty(0))
    y = numbers(labels[LABEL].combine_chunks())[known]
    given = np.isfinite(y)
    return rules.Sample(rows.filter(pa.array(given)).combine_chunks(), y[given])
