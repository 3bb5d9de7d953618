"""Rows that a batch holds several times under keys of their own.

>>> check_duplicates(rows, windows_before, definition).verdict                      # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

A key says that a row was there before; who sends it again under a new one weighs it twice. Where
rows have few features, some are alike by nature, in one window more than in another. So, as for
columns that rest (:mod:`ratchet.validate.lost`), the chance is bounded by what whole windows held:
that this one holds more copies than all W before has probability 1 / (W + 1), and odds x times
higher than theirs have chance 1 / x.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate.lost import BEFORE, odds
from ratchet.validate.pooled import values_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

CHECK = "rows.duplicates"


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


def duplicated(rows: pa.Table, definition: Definition) -> int:
    """How many rows repeat the features of another, each but for the first."""
    import numpy as np

    if not rows.num_rows:
        return 0
    values, _ = values_of(rows, definition)
    return int(rows.num_rows) - round(float(np.sum(1 / (1 + twins(values.T)))))


def stand_out(
    copies: int, rows: pa.Table, before: Sequence[pa.Table], definition: Definition
) -> bool:
    """Whether so many copies could block, whatever further windows before held."""
    known = [(duplicated(t, definition), t.num_rows) for t in before if t.num_rows]
    return _chance(copies, rows.num_rows, known, BEFORE) < definition.shield.alpha


def check_duplicates(
    copies: int, rows: pa.Table, before: Sequence[pa.Table], definition: Definition
) -> Evidence:
    """``rows.duplicates``: BLOCK where a batch holds far more copies than any window before.

    Args:
        copies: what :func:`duplicated` says of the batch.
        rows: the batch.
        before: accepted rows of up to :data:`BEFORE` windows, from the senders of the batch, with
            the features.
        definition: for the features and ``shield.alpha``.
    """
    level, share = definition.shield.alpha, copies / max(rows.num_rows, 1)
    said = f"{copies:,} of {rows.num_rows:,} rows repeat the features of another under a new key"
    known = [(duplicated(t, definition), t.num_rows) for t in before if t.num_rows]
    if not copies or not known:
        said += "" if known or not copies else "; no window before to compare with"
        return Evidence(CHECK, Verdict.PASS, said, share)
    chance = _chance(copies, rows.num_rows, known, len(known))
    verdict, sign = (Verdict.BLOCK, "<") if chance < level else (Verdict.PASS, ">=")
    most = max(count / total for count, total in known)
    said += (
        f", share {share:.3g}; in {len(known)} windows before at most {most:.3g}: "
        f"chance {chance:.2g} {sign} {level:g}"
    )
    details = {"share": round(share, 6), "most_before": round(most, 6)}
    return Evidence(CHECK, verdict, said, chance, level, details)


def _chance(copies: int, rows: int, known: Sequence[tuple[int, int]], windows: int) -> float:
    """Bound on the chance of so many copies by nature, where so many windows before were looked at
    and these are known of them; a small batch tells nothing of copies that are rare."""
    rest = max([odds(0, rows), *(odds(count, total) for count, total in known)])
    return min(1.0, rest / odds(copies, rows)) / (windows + 1)
