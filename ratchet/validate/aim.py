"""Which batches are audited, and where their look-ups are pointed.

>>> first = nominate(results, suspicion=0.1)                                    # doctest: +SKIP
>>> aim(first, batch, paired, pool, split, definition).rows.sum()               # doctest: +SKIP
103

An audit costs look-ups and blocks no clean batch, so it may be asked for far sooner than a block.
Half of its look-ups go where they would find most. That depends on what looked odd: a cell of
values, what is common to the rows that differ from the truth, labels that the champion did not
expect, or rows that look least like the control.

Promise: rows that were only ranked are never taken for all the trouble there is; honest slips
gather among them too, and the audit allows for that (``ranked``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import LABEL
from ratchet.validate.families import Result, Split
from ratchet.validate.match import Match
from ratchet.validate.pooled import Pool, codes, expectation, outcome_of, values_of
from ratchet.validate.tails import hypergeometric_tails

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.validate.sample import Sample

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

# Share of suspicion. Rows that differ from the truth under their own key are no matter of chance:
# where two paths agree there are none, so a few are worth an audit. The others sum to 1.
WEIGHTS = {"match": 5.0, "pairs": 0.32, "values": 0.16, "wholes": 0.12}
OTHERS = 0.04
TOP = 0.05  # of the rows that were not compared by key: how many a ranking points at
COMMON = 0.05  # level at which a value counts as common to the rows that differ
BY_LABEL = {"labels", "calibration", "loss", "auc", "gap_loss", "gap_auc"}


@dataclass(frozen=True, eq=False)
class Aim:
    """Where look-ups are pointed.

    Attributes:
        rows: shape (rows of the batch,).
        ranked: whether they are the top of a ranking, not a cell that stands out.
    """

    rows: Mask
    ranked: bool


def level(family: str, suspicion: float) -> float:
    """The p-value of a family below which a batch is nominated."""
    return suspicion * WEIGHTS.get(family, OTHERS)


def nominate(results: Sequence[Result], suspicion: float) -> Result | None:
    """The result that most deserves an audit; None where none does."""
    if not results:
        return None
    first = min(results, key=lambda r: r.p / level(r.family, suspicion))
    return first if first.p < level(first.family, suspicion) else None


def aim(
    first: Result,
    batch: Sample,
    paired: Match | None,
    pool: Pool,
    split: Split | None,
    definition: Definition,
) -> Aim:
    """Where the look-ups go that a result asked for.

    Args:
        first: what nominated the batch.
        batch: with labels and scores.
        paired: its rows beside the truth of the same keys, where the control has keys.
        pool: control and rest; ``split`` the tests on it, None where it was too small.
        definition: for features and objective.
    """
    import numpy as np

    rows = np.zeros(batch.rows.num_rows, dtype=bool)
    if first.family == "match" and paired is not None:
        common = _like_the_wrong(batch, paired, definition)
        if common is not None:
            return Aim(common, ranked=True)
    if split is None:
        return Aim(rows, ranked=True)
    cells = {
        "values": split.cells.singles,
        "pairs": split.cells.pairs,
        "wholes": split.cells.wholes,
    }
    if first.family in cells:
        rows[pool.origin[cells[first.family].rows & ~pool.control]] = True
        return Aim(rows, ranked=False)
    rank = split.likeness
    if first.family in BY_LABEL:
        rank = _surprise(pool.residual, first)
    rows[_top(pool, rank)] = True
    return Aim(rows, ranked=True)


def _surprise(residual: Floats, first: Result) -> Floats:
    """How far labels lie from what was expected, on the side that the test points to."""
    import numpy as np

    if first.family in ("labels", "calibration") and first.measured is not None:
        return residual if first.measured > 0 else -residual
    return np.abs(residual)


def _top(pool: Pool, rank: Floats) -> Ints:
    """Positions in the batch of the rest's rows that rank first."""
    import numpy as np

    rest = np.flatnonzero(~pool.control)
    order = rest[np.argsort(-rank[rest], kind="stable")]
    return pool.origin[order[: max(1, round(TOP * len(rest)))]]


def _like_the_wrong(batch: Sample, paired: Match, definition: Definition) -> Mask | None:
    """Rows that hold what the differing rows have in common, most surprising labels first.

    Every value alone and with each outcome is a cell; the one in which differing rows gather most
    counts. Where nothing is common to them but the label is what differs, its outcome is.
    """
    import numpy as np

    wrong = paired.positions[paired.differs]
    labelled = np.isfinite(batch.labels)
    outcome = np.zeros(len(labelled), dtype=np.int64)
    outcome[labelled] = outcome_of(definition.label.objective, batch.labels[labelled])
    cells = list(_cells(batch, outcome, definition))
    (p, cell), common = min((_gathered(c, paired), i) for i, c in enumerate(cells))
    mine = cells[common]
    if p * len(cells) < COMMON:
        rows = mine == cell
    elif LABEL in paired.columns:
        rows = outcome == np.bincount(outcome[wrong]).argmax()
    else:
        return None
    rows = rows & labelled
    rows[paired.positions] = False  # their truth is known
    most = max(1, round(TOP * (len(rows) - paired.matched)))
    residual = np.zeros(len(rows))
    residual[labelled] = expectation(
        definition.label.objective,
        batch.labels[labelled],
        None if batch.scores is None else batch.scores[labelled],
    )[0]
    there = np.flatnonzero(rows)
    kept = there[np.argsort(-np.abs(residual[there]), kind="stable")][:most]
    found = np.zeros(len(rows), dtype=bool)
    found[kept] = True
    return found if len(kept) else None


def _cells(batch: Sample, outcome: Ints, definition: Definition) -> list[Ints]:
    """Groupings of the batch's rows: by each value, by each value and outcome, by outcome."""
    values, _ = values_of(batch.rows.select(list(definition.features)), definition)
    kinds = definition.features.values()
    alone = [codes(values[:, i], kind)[0] for i, kind in enumerate(kinds)]
    several = int(outcome.max(initial=0)) + 1
    return [*alone, *(c * several + outcome for c in alone), outcome]


def _gathered(cell: Ints, paired: Match) -> tuple[float, int]:
    """Smallest tail of a cell's count of differing rows, corrected for the cells, and that cell."""
    import numpy as np

    matched, where = np.unique(cell[paired.positions], return_inverse=True)
    total = np.bincount(where, minlength=len(matched))
    bad = np.bincount(where[paired.differs], minlength=len(matched))
    _, high = hypergeometric_tails(bad, total, paired.mismatched, paired.matched)
    place = int(np.argmin(high))
    return min(1.0, float(high[place]) * len(matched)), int(matched[place])
