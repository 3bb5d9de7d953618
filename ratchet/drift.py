"""drift: has the world moved, and does it matter?

>>> report = measure(reference, batch, features, gains, definition)       # doctest: +SKIP
>>> report.verdict, round(report.share_moved, 2)                          # doctest: +SKIP
(<Verdict.WARN: 'WARN'>, 0.41)

Promise: sample noise alone does not fire, whatever the number of categories; a verdict here warns
and never blocks; the cost does not grow with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.metrics import chi_square_quantile, spread

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]

BINS = 20  # of the reference's quantiles, besides missing and beyond either end
FEWEST = 5.0  # rows that a bin should hold on either side if nothing moved (Cochran 1954)
NOISE_LEVEL = 0.999  # one column in 1,000 that has not moved is taken for more than noise


@dataclass(frozen=True)
class Column:
    """How far one column has moved.

    Attributes:
        distance: Jensen-Shannon distance in [0, 1], less what sampling alone is expected to give.
        noise: the distance that sampling alone exceeds once in 1,000 times.
        moved: distance at or above the threshold, and more than noise.
        importance: the column's share of the champion's gain.
    """

    distance: float
    noise: float
    moved: bool
    importance: float


@dataclass(frozen=True)
class DriftReport:
    """One batch against the champion's reference.

    Attributes:
        columns: name to its movement, most important first.
        prediction: movement of the champion's scores, or None where they were not given.
        share_moved: share of the champion's gain on columns that moved.
        verdict: PASS, WARN, or INCONCLUSIVE where there was nothing to compare.
        evidence: ``drift.inputs`` with the arithmetic.
    """

    columns: Mapping[str, Column]
    prediction: Column | None
    share_moved: float
    verdict: Verdict
    evidence: Evidence

    def as_json(self) -> dict[str, Any]:
        """A JSON-serialisable dict for the decision."""
        return {
            "verdict": self.verdict.value,
            "arithmetic": self.evidence.arithmetic,
            "share_moved": self.share_moved,
            "columns": {name: asdict(column) for name, column in self.columns.items()},
            "prediction": asdict(self.prediction) if self.prediction else None,
        }


def sample(rows: pa.Table, definition: Definition) -> pa.Table:
    """At most ``drift.sample`` rows, evenly spaced, of the declared features only; a reference of
    before a feature was declared has it not."""
    columns = rows.select([name for name in definition.features if name in rows.column_names])
    if columns.num_rows <= definition.drift.sample:
        return columns
    return columns.take(spread(columns.num_rows, definition.drift.sample))


def measure(
    reference: pa.Table | None,
    batch: pa.Table,
    gains: Mapping[str, float],
    definition: Definition,
    scores: tuple[Floats, Floats] | None = None,
) -> DriftReport:
    """Compare a batch with the rows that the champion learned from.

    Args:
        reference: the champion's reference sample; None when there is no champion yet.
        batch: the window's rows; both sides are cut to ``drift.sample`` rows.
        gains: feature to its share of the champion's gain.
        definition: gives features, thresholds and the sample's size.
        scores: the champion's scores of reference and batch, shape (rows,), for a further number
            that decides nothing.

    Returns:
        WARN when the columns that moved carry ``drift.importance_share`` of the gain or more.
    """
    if reference is None or reference.num_rows == 0 or batch.num_rows == 0:
        lacks = "the batch has no rows" if reference is not None else "no champion reference yet"
        evidence = Evidence("drift.inputs", Verdict.INCONCLUSIVE, lacks)
        return DriftReport({}, None, 0.0, Verdict.INCONCLUSIVE, evidence)
    old, new = sample(reference, definition), sample(batch, definition)
    found = {}
    for name in sorted(old.column_names, key=lambda n: -gains.get(n, 0.0)):
        counts = _counts(old[name], new[name], definition.features[name])
        found[name] = _column(*counts, definition, round(gains.get(name, 0.0), 6))
    prediction = _column(*_number_counts(*scores), definition, 0.0) if scores else None
    return _conclude(found, prediction, definition)


def _conclude(
    columns: Mapping[str, Column], prediction: Column | None, definition: Definition
) -> DriftReport:
    moved = {name: c for name, c in columns.items() if c.moved}
    share = round(min(sum(c.importance for c in moved.values()), 1.0), 6)
    limit = definition.drift.importance_share
    verdict = Verdict.WARN if moved and share >= limit else Verdict.PASS
    names = ", ".join(f"{name} {c.distance:.2f}" for name, c in list(moved.items())[:5])
    more = f" and {len(moved) - 5} more" if len(moved) > 5 else ""
    text = (
        f"{len(moved)} of {len(columns)} columns moved{f' ({names}{more})' if moved else ''}; "
        f"they carry {share:.2f} {'>=' if share >= limit else '<'} {limit:.2f} "
        "of the champion's gain"
    )
    evidence = Evidence("drift.inputs", verdict, text, share, limit)
    return DriftReport(columns, prediction, share, verdict, evidence)


def divergence(old: Floats, new: Floats) -> tuple[float, int]:
    """Jensen-Shannon divergence of two histograms in bits, and how many bins either side holds.

    Source: Lin 1991. Shapes (bins,), counts.
    """
    import numpy as np

    used = (old + new) > 0
    p, q = old[used] / old.sum(), new[used] / new.sum()
    middle = (p + q) / 2

    def against(side: Floats) -> float:
        held = side > 0
        return float(np.sum(side[held] * np.log2(side[held] / middle[held])))

    return max((against(p) + against(q)) / 2, 0.0), int(used.sum())


def _column(old: Floats, new: Floats, definition: Definition, importance: float) -> Column:
    """Movement less sampling noise.

    Where nothing moved, ``8 ln 2 / (1/n + 1/m)`` times the divergence is about chi-square with
    k - 1 degrees of freedom. Its mean is subtracted (as Miller 1955 does for entropy), and its
    upper quantile must be exceeded before a column counts as moved.
    """
    import math

    found, used = divergence(*_merge(old, new))
    unit = (1 / float(old.sum()) + 1 / float(new.sum())) / (8 * math.log(2))
    noise = unit * chi_square_quantile(NOISE_LEVEL, used - 1)
    distance = math.sqrt(max(found - unit * (used - 1), 0.0))
    moved = distance >= definition.drift.column_distance and found > noise
    return Column(round(distance, 6), round(math.sqrt(min(noise, 1.0)), 6), moved, importance)


def _merge(old: Floats, new: Floats) -> tuple[Floats, Floats]:
    """Neighbouring bins together until each should hold :data:`FEWEST` rows on either side.

    With fewer, the divergence of rows that have not moved is larger than chi-square says.
    """
    import numpy as np

    expected = (old + new) * min(old.sum(), new.sum()) / (old.sum() + new.sum())
    starts, held = [0], 0.0
    for i, rows in enumerate(expected):
        if held >= FEWEST:
            starts.append(i)
            held = 0.0
        held += float(rows)
    if held < FEWEST and len(starts) > 1:
        starts.pop()
    return np.add.reduceat(old, starts), np.add.reduceat(new, starts)


def _counts(old: pa.ChunkedArray, new: pa.ChunkedArray, kind: str) -> tuple[Floats, Floats]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind == "category":
        return _category_counts(pc.cast(old, pa.string()), pc.cast(new, pa.string()))
    return _number_counts(
        pc.cast(old, pa.float64()).to_numpy(), pc.cast(new, pa.float64()).to_numpy()
    )


def _number_counts(old: Floats, new: Floats) -> tuple[Floats, Floats]:
    """Counts in bins of the reference's quantiles; missing and either side beyond have their own.

    A number with few different values has a bin for each, and for each gap between them.
    """
    import numpy as np

    present = old[~np.isnan(old)]
    values = np.unique(present)
    if len(values) > BINS:
        inner = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1), method="lower"))
        edges = np.append(inner, np.nextafter(inner[-1], np.inf))
    else:
        edges = np.sort(np.concatenate([values, np.nextafter(values, np.inf)]))

    def count(side: Floats) -> Floats:
        missing = np.isnan(side)
        bins = np.searchsorted(edges, side[~missing], side="right")
        counted = np.bincount(bins, minlength=len(edges) + 1)
        return np.append(counted, missing.sum()).astype(np.float64)

    return count(old), count(new)


def _category_counts(old: pa.ChunkedArray, new: pa.ChunkedArray) -> tuple[Floats, Floats]:
    """Counts by category, missing among them; the frequent ones first, so that the rare ones are
    neighbours, each in order of their names."""
    import numpy as np
    import pyarrow as pa

    both = pa.chunked_array([*old.chunks, *new.chunks], pa.string()).combine_chunks()
    coded = both.dictionary_encode()
    missing = len(coded.dictionary)
    codes = coded.indices.fill_null(missing).to_numpy()
    sides = (codes[: len(old)], codes[len(old) :])
    first, second = (np.bincount(side, minlength=missing + 1).astype(np.float64) for side in sides)
    rare = (first + second) * min(len(old), len(new)) / len(both) < FEWEST
    names = [*coded.dictionary.to_pylist(), ""]
    order = sorted(range(missing + 1), key=lambda i: (rare[i], names[i]))
    return first[order], second[order]
