"""Rows that a batch holds several times under keys of their own.

>>> check_duplicates(rows, windows_before, definition).verdict                      # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

A key says that a row was there before; who sends it again under a new one weighs it twice. Where
rows have few features, some are alike by nature, in one window more than in another; few of these
are of the same moment too, where time is told finely. So both are counted, rows that repeat the
features of another and rows that repeat its time besides. As for
columns that rest (:mod:`ratchet.validate.lost`), the chance is bounded by what whole windows held:
that this one holds more copies than all W before has probability 1 / (W + 1), and odds x times
higher than theirs have chance 1 / x.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ratchet.contracts.columns import EVENT
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate.lost import BEFORE, odds
from ratchet.validate.pooled import values_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

CHECK = "rows.duplicates"


class Copies(NamedTuple):
    """How many rows repeat another, each but for the first: its features; its time besides."""

    features: int
    time: int


def twins(columns: Iterable[NDArray[np.float64]]) -> NDArray[np.int64]:
    """How many other rows hold the very same values, shape (rows,); missing is a value too.

    Rows are told apart by one number each, a random sum of their bits: far faster than bytes.
    """
    import numpy as np

    columns = list(columns)
    odd = np.random.default_rng(len(columns)).integers(2**63, size=len(columns), dtype=np.uint64)
    mixed = np.zeros(len(columns[0]), dtype=np.uint64)
    for column, factor in zip(columns, 2 * odd + np.uint64(1), strict=True):
        bits = np.where(np.isnan(column), -1e300, column).view(np.uint64)
        mixed += (bits ^ (bits >> np.uint64(29))) * factor
    _, inverse, counts = np.unique(mixed, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] - 1, dtype=np.int64)


def duplicated(rows: pa.Table, definition: Definition) -> Copies:
    """Count the copies among rows with ``_event`` and the features."""
    import numpy as np

    if not rows.num_rows:
        return Copies(0, 0)
    columns = list(values_of(rows, definition)[0].T)
    time = rows[EVENT].cast("int64").to_numpy().view(np.float64)  # only its bits count
    features = _repeats(columns)
    return Copies(features, _repeats([*columns, time]) if features else 0)


def _repeats(columns: Sequence[NDArray[np.float64]]) -> int:
    import numpy as np

    return len(columns[0]) - round(float(np.sum(1 / (1 + twins(columns)))))


def stand_out(
    copies: Copies, rows: pa.Table, before: Sequence[pa.Table], definition: Definition
) -> bool:
    """Whether so many copies could block, whatever further windows before held."""
    known = _known(before, definition)
    return min(_chances(copies, rows.num_rows, known, BEFORE)) < definition.shield.alpha


def check_duplicates(
    copies: Copies, rows: pa.Table, before: Sequence[pa.Table], definition: Definition
) -> Evidence:
    """``rows.duplicates``: BLOCK where a batch holds far more copies than any window before.

    Args:
        copies: what :func:`duplicated` says of the batch.
        rows: the batch.
        before: accepted rows of up to :data:`BEFORE` windows, from the senders of the batch, with
            ``_event`` and the features.
        definition: for the features and ``shield.alpha``.
    """
    level, total = definition.shield.alpha, rows.num_rows
    share = copies.features / max(total, 1)
    said = f"{copies.features:,} of {total:,} rows repeat the features of another under a new key"
    known = _known(before, definition)
    if not copies.features or not known:
        said += "" if known or not copies.features else "; no window before to compare with"
        return Evidence(CHECK, Verdict.PASS, said, share)
    chances = _chances(copies, total, known, len(known))
    by_time = chances.time < chances.features
    if by_time:
        said += f", {copies.time:,} of them its time too"
    count, chance = (copies.time, chances.time) if by_time else (copies.features, chances.features)
    verdict, sign = (Verdict.BLOCK, "<") if chance < level else (Verdict.PASS, ">=")
    most = max((k.time if by_time else k.features) / n for k, n in known)
    said += (
        f", share {count / total:.3g}; in {len(known)} windows before at most {most:.3g}: "
        f"chance {chance:.2g} {sign} {level:g}"
    )
    details = {"share": round(count / total, 6), "most_before": round(most, 6)}
    return Evidence(CHECK, verdict, said, chance, level, details)


def _known(before: Sequence[pa.Table], definition: Definition) -> list[tuple[Copies, int]]:
    return [(duplicated(t, definition), t.num_rows) for t in before if t.num_rows]


class _Chances(NamedTuple):
    features: float
    time: float


def _chances(
    copies: Copies, rows: int, known: Sequence[tuple[Copies, int]], windows: int
) -> _Chances:
    """Bounds on the chance of so many copies by nature, where so many windows before were looked at
    and these are known of them; a small batch tells nothing of copies that are rare.

    Which of the two count is decided by the windows before alone: times can tell more only where
    features repeat by nature, and only there are the bounds doubled because there are two.
    """
    none = odds(0, rows)
    by_features = max([none, *(odds(c.features, n) for c, n in known)])
    by_time = max([none, *(odds(c.time, n) for c, n in known)])
    both = by_time < by_features

    def bound(count: int, rest: float) -> float:
        return min(1.0, (1 + both) * min(1.0, rest / odds(count, rows)) / (windows + 1))

    features = bound(copies.features, by_features)
    return _Chances(features, bound(copies.time, by_time) if both else features)
