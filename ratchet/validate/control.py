"""Compares a batch with a trusted control of the same window. The heart of the shield.

>>> found = compare(batch, control, definition, history=None, seed=17)          # doctest: +SKIP
>>> worst(e.verdict for e in found.evidence)                                    # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

Detectors that are calibrated on history cry wolf when the world moves: the seasons, a storm, a new
route. The control went through the same week, so comparing with it cancels drift
(:mod:`ratchet.validate.pooled` says why). Each family of tests gets a share of one alpha for the
whole batch (Bonferroni), so an honest batch is blocked with probability ``shield.alpha`` at most.
What is significant only at ``shield.suspicion`` nominates the batch for an audit, no more.

Promise: a batch that has no control, or one too small, never passes as if it had been compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ratchet.contracts.columns import LABEL
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate import split_tests as tests
from ratchet.validate.aim import Aim, aim, level, nominate
from ratchet.validate.families import SHARES, Result, Split, by_key, by_split
from ratchet.validate.match import Match, match
from ratchet.validate.pooled import Pool, pooled
from ratchet.validate.sample import Comparison, Sample

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.definition import Definition

NO_CONTROL = "control.rows"  # what labels wait under that there are no trusted rows for


def compare(
    batch: Sample,
    control: Sample | None,
    definition: Definition,
    *,
    history: Sample | None = None,
    seed: int,
) -> Comparison:
    """Compare the labelled rows of a batch with the trusted rows of the same windows.

    Args:
        batch: every accepted row of the windows, with the labels that arrived.
        control: the trusted rows of the same windows; None where none is declared or came.
        definition: for features, label and ``[shield]``, ``[trusted]``.
        history: a sample of earlier accepted rows, against which density is measured.
        seed: of the folds; anything that a sender cannot choose.
    """
    import numpy as np

    nobody = np.zeros(batch.rows.num_rows, dtype=bool)
    nowhere, none = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    if definition.trusted is None:
        return _degraded(batch, history, definition, seed)
    if control is None:
        text = "no trusted rows came for these windows: nothing to compare with"
        found = Evidence(NO_CONTROL, Verdict.INCONCLUSIVE, text, 0.0)
        return Comparison((found,), 1.0, nowhere, none, nobody)
    least = definition.trusted.min_rows
    if control.rows.num_rows < least:
        text = (
            f"{control.rows.num_rows} trusted rows for these windows, {least} needed: nothing to "
            "compare with; was the trusted path cut?"
        )
        rows = float(control.rows.num_rows)
        found = Evidence(NO_CONTROL, Verdict.INCONCLUSIVE, text, rows, float(least))
        return Comparison((found,), 1.0, nowhere, none, nobody)
    keyed = definition.trusted.keyed
    paired = (
        match(_with_labels(batch), _with_labels(control), definition.features) if keyed else None
    )
    before = None if history is None else history.rows
    pool = pooled(batch, control, definition, keyed=keyed, history=before)
    split = _split(pool, definition, seed)
    results = [*by_key(paired, batch, control, definition), *(split.results if split else ())]
    if not results:
        ours, theirs = int((~pool.control).sum()), int(pool.control.sum())
        text = (
            f"{ours} labelled rows beside {theirs} trusted ones: at least {tests.FEWEST} of each "
            "are needed, too few to compare"
        )
        found = Evidence(NO_CONTROL, Verdict.INCONCLUSIVE, text, float(min(ours, theirs)))
        return Comparison((found,), 1.0, nowhere, none, nobody)
    first = nominate(results, definition.shield.suspicion)
    pointed = Aim(nobody, ranked=False)
    if first is not None:
        pointed = aim(first, batch, paired, pool, split, definition)
    return _conclude(results, first, paired, pointed, definition)


def _split(pool: Pool, definition: Definition, seed: int) -> Split | None:
    """The tests of a random split; None where either side is too small for any."""
    least = min(int(pool.control.sum()), int((~pool.control).sum()))
    return by_split(pool, definition, seed) if least >= tests.FEWEST else None


def _with_labels(sample: Sample) -> pa.Table:
    import pyarrow as pa

    labels = pa.array(sample.labels, from_pandas=True)
    rows = sample.rows
    return (rows.drop_columns([LABEL]) if LABEL in rows.column_names else rows).append_column(
        LABEL, labels
    )


def _conclude(
    results: list[Result],
    first: Result | None,
    paired: Match | None,
    pointed: Aim,
    definition: Definition,
) -> Comparison:
    import numpy as np

    shield = definition.shield
    total = sum(SHARES[r.family] for r in results)
    evidence = [_evidence(r, shield.alpha * SHARES[r.family] / total) for r in results]
    p_value = min([1.0, *(r.p * total / SHARES[r.family] for r in results)])
    nominated = ""
    if first is not None:
        nominated = f"{first.says} (p {first.p:.2g} < {level(first.family, shield.suspicion):.2g})"
    return Comparison(
        tuple(evidence),
        p_value,
        paired.positions if paired else np.zeros(0, dtype=np.int64),
        paired.differs if paired else np.zeros(0, dtype=bool),
        pointed.rows,
        nominated,
        dict(paired.columns) if paired else {},
        pointed.ranked,
    )


def _evidence(result: Result, alpha: float) -> Evidence:
    blocked = result.p < alpha
    sign = "<" if blocked else ">="
    return Evidence(
        f"control.{result.family}",
        Verdict.BLOCK if blocked else Verdict.PASS,
        f"{result.says}: p {result.p:.2g} {sign} {alpha:.2g}",
        result.p,
        alpha,
        {} if result.measured is None else {"value": round(result.measured, 8)},
    )


def degraded() -> Evidence:
    """That nobody can be asked about the stream."""
    text = "degraded: no trusted source is declared, so poison that follows the rules passes"
    return Evidence(NO_CONTROL, Verdict.WARN, text, 0.0)


def _degraded(
    batch: Sample, history: Sample | None, definition: Definition, seed: int
) -> Comparison:
    """Without a trusted source: history stands in for the control, but the world moves, so what it
    finds can only nominate the batch for an audit, where there is a record to look rows up in."""
    import numpy as np

    nobody = np.zeros(batch.rows.num_rows, dtype=bool)
    nowhere, none = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    said = degraded()
    if definition.record is None or history is None:
        return Comparison((said,), 1.0, nowhere, none, nobody)
    pool = pooled(batch, history, definition, keyed=False)
    split = _split(pool, definition, seed)
    if split is None:
        return Comparison((said,), 1.0, nowhere, none, nobody)
    first = min(split.results, key=lambda r: r.p)
    if first.p >= definition.shield.suspicion / len(split.results):
        return Comparison((said,), 1.0, nowhere, none, nobody)
    pointed = aim(first, batch, None, pool, split, definition)
    why = f"unlike earlier windows, which alone proves nothing: {first.says} (p {first.p:.2g})"
    return Comparison((said,), 1.0, nowhere, none, pointed.rows, why, ranked=pointed.ranked)
