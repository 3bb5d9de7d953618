"""Fresh labels of other windows than the batch's own: compared with the trusted rows of their keys.

>>> apart = judge(cycle, window, fresh, outside)                                # doctest: +SKIP
>>> fresh.filter(~apart.rejected)                                               # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ratchet import ingest as core
from ratchet import validate as rules
from ratchet.contracts.columns import ACCEPTED, EVENT, KEY, LABEL, LABELS, SOURCE
from ratchet.contracts.evidence import Evidence, Verdict
from tasks.cycle import Cycle
from tasks.labelled import rows_of_labels, trusted_rows, window_indices

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.clock import Window


@dataclass(frozen=True, eq=False)
class Apart:
    """What the fresh labels apart from the batch's span showed.

    Attributes:
        evidence: nothing where there were none.
        rejected: shape (fresh labels,): those that go to quarantine.
        cause: the evidence they go there with; None where none does.
        facts: by source, of those that were let through.
    """

    evidence: list[Evidence]
    rejected: NDArray[np.bool_]
    cause: Evidence | None = None
    facts: Mapping[str, rules.Facts] = field(default_factory=dict)


def judge(
    cycle: Cycle,
    window: Window,
    fresh: pa.Table,
    outside: NDArray[np.bool_],
) -> Apart:
    """Judge those of the fresh labels that lie outside the batch's span of windows.

    Only a trusted source with the stream's keys can tell; without, :func:`span_of` leaves few out.

    Args:
        fresh: the labels that became known in the window.
        outside: mask of those to judge; each has its row.
    """
    import numpy as np
    import pyarrow as pa

    definition = cycle.workspace.definition
    nobody = np.zeros(fresh.num_rows, dtype=bool)
    if definition.trusted is None or not definition.trusted.keyed or not outside.any():
        return Apart([], nobody)
    labels = fresh.filter(pa.array(outside))
    rows, _ = rows_of_labels(cycle, window, labels, [EVENT, SOURCE, *definition.features])
    rows = rows.append_column(LABEL, labels[LABEL])
    said = compare(cycle, window, rows, fresh[KEY])
    if said.evidence.verdict.lets_through:
        facts = rules.facts_by_source(rows[SOURCE], said.checked, said.differs)
        return Apart([said.evidence], nobody, None, facts)
    text = f"{said.evidence.arithmetic}; quarantined alone"
    told = replace(said.evidence, verdict=Verdict.WARN, arithmetic=text)
    waits = said.evidence.verdict is Verdict.INCONCLUSIVE
    cause = replace(said.evidence, check=rules.NO_CONTROL) if waits else said.evidence
    return Apart([told], outside, cause)


def compare(
    cycle: Cycle, window: Window, rows: pa.Table, labelled: pa.ChunkedArray
) -> rules.Stragglers:
    """Compare rows and their labels with the trusted rows of their keys.

    Args:
        rows: with key, event, features and label.
        labelled: keys that have a label besides those whose label was accepted before.
    """
    windows = window_indices(cycle, rows)
    first = int(windows.min())
    control = trusted_rows(cycle, window, (first, window.index))
    known = _known(cycle, window, rows, labelled, control)
    return rules.check_stragglers(rows, windows, control, known, cycle.workspace.definition)


def _known(
    cycle: Cycle, window: Window, rows: pa.Table, labelled: pa.ChunkedArray, control: pa.Table
) -> dict[int, tuple[int, int]]:
    """Of each window of events, from the first of these rows on: rows that have a label by now,
    these among them, and how many of those are trusted."""
    import numpy as np
    import pyarrow as pa

    at = window_indices(cycle, rows)
    tables, span = cycle.workspace.tables, (int(at.min()), window.index + 1)
    there, labels = tables.read(ACCEPTED, [KEY, EVENT], span), tables.read(LABELS, [KEY], span)
    if there.num_rows:
        has_label = core.find_keys(there[KEY], labelled)
        if labels.num_rows:
            has_label |= core.find_keys(there[KEY], labels[KEY])
        theirs = core.find_keys(there[KEY], rows[KEY])
        there = there.filter(pa.array(has_label & ~theirs))
        rows = pa.concat_tables([rows.select([KEY, EVENT]), there.select([KEY, EVENT])])
        at = window_indices(cycle, rows)
    trusted = core.find_keys(rows[KEY], control[KEY])
    return {
        w: (int(np.sum(at == w)), int(np.sum(trusted & (at == w))))
        for w in np.unique(at[at >= span[0]]).tolist()
    }
