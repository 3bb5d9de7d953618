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

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY, LABEL
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate import split_tests as tests
from ratchet.validate.cells import scan
from ratchet.validate.match import Match, match
from ratchet.validate.pooled import Pool, pooled
from ratchet.validate.sample import Comparison, Sample
from ratchet.validate.tails import binomial_sf

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

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
    "values": 0.08,
    "pairs": 0.08,
    "classifier": 0.05,
    "gap_loss": 0.05,
    "gap_auc": 0.03,
}
# Share of suspicion: a planted cell too small to prove is what an audit is for.
SUSPICION = {"pairs": 0.4, "values": 0.2, "others": 0.04}
FEWEST_MISMATCHES = 3


@dataclass(frozen=True)
class _Test:
    """One family's result: its p-value is corrected for all tests inside the family."""

    family: str
    p: float
    says: str
    measured: float | None = None


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
        found = Evidence("control.rows", Verdict.INCONCLUSIVE, text, 0.0)
        return Comparison((found,), 1.0, nowhere, none, nobody)
    least = definition.trusted.min_rows
    if control.rows.num_rows < least:
        text = (
            f"{control.rows.num_rows} trusted rows for these windows, {least} needed: nothing to "
            "compare with; was the trusted path cut?"
        )
        rows = float(control.rows.num_rows)
        found = Evidence("control.rows", Verdict.INCONCLUSIVE, text, rows, float(least))
        return Comparison((found,), 1.0, nowhere, none, nobody)
    keyed = definition.trusted.keyed
    paired = (
        match(_with_labels(batch), _with_labels(control), definition.features) if keyed else None
    )
    before = None if history is None else history.rows
    pool = pooled(batch, control, definition, keyed=keyed, history=before)
    results = [*_by_key(paired, batch, control, definition)]
    suspicious = nobody.copy()
    if min(int(pool.control.sum()), int((~pool.control).sum())) >= tests.FEWEST:
        more, mask = _by_split(pool, definition, seed)
        results += more
        suspicious[pool.origin[mask & ~pool.control]] = True
    return _conclude(results, paired, suspicious, definition)


def _with_labels(sample: Sample) -> pa.Table:
    import pyarrow as pa

    labels = pa.array(sample.labels, from_pandas=True)
    rows = sample.rows
    return (rows.drop_columns([LABEL]) if LABEL in rows.column_names else rows).append_column(
        LABEL, labels
    )


def _by_key(
    paired: Match | None, batch: Sample, control: Sample, definition: Definition
) -> Iterator[_Test]:
    """Tests on the rows that both sides hold under one key: the strongest there are."""
    if paired is None:
        return
    allowed = definition.shield.max_mismatch
    n, k = paired.matched, paired.mismatched
    share = k / n if n else 0.0
    p = float(binomial_sf(k, n, allowed)) if k >= FEWEST_MISMATCHES else 1.0
    where = ", ".join(f"{name} {count}" for name, count in list(paired.columns.items())[:4])
    says = f"{k:,} of {n:,} rows differ from the trusted row of the same key, share {share:.4g}"
    says += f", {allowed:g} allowed" + (f" (in {where})" if where else "")
    yield _Test("match", p, says, share)
    total = control.rows.num_rows
    lost = definition.validate_.max_quarantined_share
    p = float(binomial_sf(paired.absent, total, lost))
    share = paired.absent / total
    says = (
        f"{paired.absent:,} of {total:,} trusted rows are missing from the batch, {lost:g} allowed"
    )
    yield _Test("absent", p, says, share)
    yield _unlabelled(batch, control)


def _unlabelled(batch: Sample, control: Sample) -> _Test:
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
    return _Test("unlabelled", p, says, gap)


def _by_split(
    pool: Pool, definition: Definition, seed: int
) -> tuple[list[_Test], NDArray[np.bool_]]:
    """Tests of whether control and rest are a random split of one population."""
    found = scan(pool)
    results = [
        *_on_labels(pool, definition),
        _on_features(pool),
        _Test("values", found.singles, f"{found.cells:,} cells counted; {found.worst}"),
        _Test("pairs", found.pairs, found.worst),
    ]
    threads = definition.train.threads
    p, likeness = tests.classifier_test(pool, seed, threads)
    says = "a classifier that tells the batch from the control finds "
    results.append(
        _Test("classifier", p, says + ("no more than chance" if p > 0.01 else "more than chance"))
    )
    results += _gaps(pool, definition, seed, threads)
    cells = min(found.singles, found.pairs) < definition.shield.suspicion
    return results, found.rows if cells else _most_alien(pool, likeness)


def _most_alien(pool: Pool, likeness: Floats, share: float = 0.05) -> NDArray[np.bool_]:
    """The rest's rows that look least like the control's."""
    import numpy as np

    rest = np.flatnonzero(~pool.control)
    order = rest[np.argsort(-likeness[rest], kind="stable")]
    mask = np.zeros(pool.rows, dtype=bool)
    mask[order[: max(1, round(share * len(rest)))]] = True
    return mask


def _on_labels(pool: Pool, definition: Definition) -> Iterator[_Test]:
    objective, control = definition.label.objective, pool.control
    p, gap = tests.mean_difference(pool.outcome.astype(float), control)
    yield _Test(
        "labels", p, f"mean label of the batch differs from the control's by {gap:+.4f}", gap
    )
    p, gap = tests.mean_difference(pool.residual, control)
    yield _Test("calibration", p, f"mean residual differs from the control's by {gap:+.4f}", gap)
    if pool.scores is None:
        return
    p, gap = tests.mean_difference(tests.losses(objective, pool.labels, pool.scores), control)
    yield _Test(
        "loss", p, f"the champion's loss differs from that on the control by {gap:+.4f}", gap
    )
    if objective == "binary":
        p, gap = tests.auc_difference(pool.labels, pool.scores, control)
        yield _Test(
            "auc", p, f"the champion's AUC differs from that on the control by {gap:+.4f}", gap
        )


def _on_features(pool: Pool) -> _Test:
    numbers = [i for i, kind in enumerate(pool.kinds) if kind == "number"]
    found = {i: tests.kolmogorov_smirnov(pool.values[:, i], pool.control) for i in numbers}
    if not found:
        return _Test("features", 1.0, "no number among the features")
    worst = min(found, key=lambda i: found[i])
    p = min(1.0, found[worst] * len(found))
    return _Test("features", p, f"{pool.names[worst]} is distributed least like the control's")


def _gaps(pool: Pool, definition: Definition, seed: int, threads: int) -> Iterator[_Test]:
    objective = definition.label.objective
    scores = tests.cross_fitted(pool, seed, threads, len(definition.label.classes))
    p, gap = tests.mean_difference(tests.losses(objective, pool.labels, scores), pool.control)
    says = f"a model of the batch loses {-gap:+.4f} more on the control than on held-out batch rows"
    yield _Test("gap_loss", p, says, -gap)
    if objective == "binary":
        p, gap = tests.auc_difference(pool.labels, scores, pool.control)
        says = f"a model of the batch has {gap:+.4f} AUC more on held-out rows than on the control"
        yield _Test("gap_auc", p, says, gap)


def _conclude(
    results: list[_Test],
    paired: Match | None,
    suspicious: NDArray[np.bool_],
    definition: Definition,
) -> Comparison:
    import numpy as np

    shield = definition.shield
    total = sum(SHARES[r.family] for r in results)
    evidence = [_evidence(r, shield.alpha * SHARES[r.family] / total) for r in results]
    p_value = min([1.0, *(r.p * total / SHARES[r.family] for r in results)])
    nominated = ""
    if results:
        first = min(results, key=lambda r: r.p / SUSPICION.get(r.family, SUSPICION["others"]))
        least = shield.suspicion * SUSPICION.get(first.family, SUSPICION["others"])
        if first.p < least:
            nominated = f"{first.says} (p {first.p:.2g} < {least:.2g})"
    columns = dict(paired.columns) if paired else {}
    checked = paired.positions if paired else np.zeros(0, dtype=np.int64)
    differs = paired.differs if paired else np.zeros(0, dtype=bool)
    return Comparison(tuple(evidence), p_value, checked, differs, suspicious, nominated, columns)


def _evidence(result: _Test, alpha: float) -> Evidence:
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


def _degraded(
    batch: Sample, history: Sample | None, definition: Definition, seed: int
) -> Comparison:
    """Without a trusted source: history stands in for the control, but the world moves, so what it
    finds can only nominate the batch for an audit, where there is a record to look rows up in."""
    import numpy as np

    nobody = np.zeros(batch.rows.num_rows, dtype=bool)
    nowhere, none = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=bool)
    text = "degraded: no trusted source is declared, so poison that follows the rules passes"
    said = Evidence("control.rows", Verdict.WARN, text, 0.0)
    if definition.record is None or history is None:
        return Comparison((said,), 1.0, nowhere, none, nobody)
    pool = pooled(batch, history, definition, keyed=False)
    if min(int(pool.control.sum()), int((~pool.control).sum())) < tests.FEWEST:
        return Comparison((said,), 1.0, nowhere, none, nobody)
    results, mask = _by_split(pool, definition, seed)
    first = min(results, key=lambda r: r.p)
    nobody[pool.origin[mask & ~pool.control]] = True
    nominated = ""
    if first.p < definition.shield.suspicion / len(results):
        nominated = (
            f"unlike earlier windows, which alone proves nothing: {first.says} (p {first.p:.2g})"
        )
    return Comparison((said,), 1.0, nowhere, none, nobody, nominated)
