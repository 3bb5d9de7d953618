"""The families of tests that compare a batch with its control, each with a share of alpha.

>>> [r.family for r in by_split(pool, definition, 17).results]                  # doctest: +SKIP
['labels', 'calibration', 'loss', 'auc', 'features', 'values', 'pairs', 'classifier', ...]

Two kinds: rows that both hold under one key are compared value by value; the rest of the batch is
tested against the control as a random split (:mod:`ratchet.validate.pooled`).

Promise: every p-value is corrected for all tests inside its family.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY
from ratchet.validate import split_tests as tests
from ratchet.validate.cells import Scan, scan
from ratchet.validate.match import Match
from ratchet.validate.sample import Sample
from ratchet.validate.tails import binomial_sf

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.validate.pooled import Pool

    Floats = NDArray[np.float64]

# Share of alpha of each family. Exact and direct tests get most; they sum to 1.
SHARES = {
    "match": 0.25,
    "absent": 0.08,
    "unlabelled": 0.05,
    "labels": 0.06,
    "calibration": 0.05,
    "loss": 0.1,
    "auc": 0.04,
    "features": 0.08,
    "values": 0.05,
    "wholes": 0.03,
    "pairs": 0.08,
    "classifier": 0.05,
    "gap_loss": 0.05,
    "gap_auc": 0.03,
}
FEWEST_MISMATCHES = 2  # one may be a slip
ROWS_A_THREAD = 50_000  # on fewer, a second thread of the small models costs more than it saves


@dataclass(frozen=True)
class Result:
    """One family's result.

    Attributes:
        family: a key of ``SHARES``.
        p: corrected for all tests inside the family.
        says: what was found, in words.
        measured: the difference (rest - control), where there is one.
    """

    family: str
    p: float
    says: str
    measured: float | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """What the tests of a random split found.

    Attributes:
        results: one a family.
        cells: the scan of values and pairs.
        likeness: shape (rows of the pool,): how much each row looks like the rest.
    """

    results: list[Result]
    cells: Scan
    likeness: Floats


def by_key(
    paired: Match | None, batch: Sample, control: Sample, definition: Definition
) -> Iterator[Result]:
    """Tests on the rows that both sides hold under one key: the strongest there are."""
    if paired is None:
        return
    allowed = definition.shield.max_mismatch
    n, k = paired.matched, paired.mismatched
    share = k / n if n else 0.0
    p = float(binomial_sf(k, n, allowed)) if k >= FEWEST_MISMATCHES else 1.0
    where = paired.where()
    says = f"{k:,} of {n:,} rows differ from the trusted row of the same key, share {share:.4g}"
    says += f", {allowed:g} allowed" + (f" ({where})" if where else "")
    yield Result("match", p, says, share)
    total = control.rows.num_rows
    lost = definition.validate_.max_quarantined_share
    p = float(binomial_sf(paired.absent, total, lost))
    share = paired.absent / total
    says = (
        f"{paired.absent:,} of {total:,} trusted rows are missing from the batch, {lost:g} allowed"
    )
    yield Result("absent", p, says, share)
    yield _unlabelled(batch, control)


def _unlabelled(batch: Sample, control: Sample) -> Result:
    """Do the labels that are missing from the batch miss at random?"""
    import numpy as np
    import pyarrow.compute as pc

    where = pc.index_in(control.rows[KEY], value_set=batch.rows[KEY].combine_chunks())
    found = pc.fill_null(where, -1).to_numpy().astype(np.int64)
    known = np.isfinite(control.labels)
    there = np.append(np.isfinite(batch.labels), False)[found]
    values = control.labels
    if control.scores is not None and control.scores.ndim == 1:
        values = values - control.scores
    p, gap = tests.mean_difference(values[known], ~there[known])
    missing = int((known & ~there).sum())
    says = f"{missing:,} trusted labels are missing from the batch; theirs differ by {gap:+.3g}"
    return Result("unlabelled", p, says, gap)


def by_split(pool: Pool, definition: Definition, seed: int) -> Split:
    """Tests of whether control and rest are a random split of one population."""
    found = scan(pool)
    threads = min(definition.train.threads, 1 + pool.rows // ROWS_A_THREAD)
    p, likeness = tests.classifier_test(pool, seed, threads)
    says = "a classifier that tells the batch from the control finds "
    says += "no more than chance" if p > 0.01 else "more than chance"
    results = [
        *_on_labels(pool, definition),
        _on_features(pool),
        Result("values", found.singles.p, f"{found.cells:,} cells counted; {found.singles.says}"),
        Result("pairs", found.pairs.p, found.pairs.says),
        Result("wholes", found.wholes.p, found.wholes.says),
        Result("classifier", p, says),
        *_gaps(pool, definition, seed, threads),
    ]
    return Split(results, found, likeness)


def _on_labels(pool: Pool, definition: Definition) -> Iterator[Result]:
    objective, control = definition.label.objective, pool.control
    p, gap = tests.mean_difference(pool.outcome.astype(float), control)
    yield Result(
        "labels", p, f"mean label of the batch differs from the control's by {gap:+.4f}", gap
    )
    p, gap = tests.mean_difference(pool.residual, control)
    yield Result("calibration", p, f"mean residual differs from the control's by {gap:+.4f}", gap)
    if pool.scores is None:
        return
    p, gap = tests.mean_difference(tests.losses(objective, pool.labels, pool.scores), control)
    yield Result(
        "loss", p, f"the champion's loss differs from that on the control by {gap:+.4f}", gap
    )
    if objective == "binary":
        p, gap = tests.auc_difference(pool.labels, pool.scores, control)
        yield Result(
            "auc", p, f"the champion's AUC differs from that on the control by {gap:+.4f}", gap
        )


def _on_features(pool: Pool) -> Result:
    numbers = [i for i, kind in enumerate(pool.kinds) if kind == "number"]
    found = {i: tests.kolmogorov_smirnov(pool.values[:, i], pool.control) for i in numbers}
    if not found:
        return Result("features", 1.0, "no number among the features")
    worst = min(found, key=lambda i: found[i])
    p = min(1.0, found[worst] * len(found))
    return Result("features", p, f"{pool.names[worst]} is distributed least like the control's")


def _gaps(pool: Pool, definition: Definition, seed: int, threads: int) -> Iterator[Result]:
    objective = definition.label.objective
    scores = tests.cross_fitted(pool, seed, threads, len(definition.label.classes))
    p, gap = tests.mean_difference(tests.losses(objective, pool.labels, scores), pool.control)
    says = f"a model of the batch loses {-gap:+.4f} more on the control than on held-out batch rows"
    yield Result("gap_loss", p, says, -gap)
    if objective == "binary":
        p, gap = tests.auc_difference(pool.labels, scores, pool.control)
        says = f"a model of the batch has {gap:+.4f} AUC more on held-out rows than on the control"
        yield Result("gap_auc", p, says, gap)
