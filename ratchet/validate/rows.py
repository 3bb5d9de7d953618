"""From the results of a suite to rejected rows and a verdict on the batch.

>>> judgement = judge_rows(results, 6500, definition)                           # doctest: +SKIP
>>> judgement.rejected.sum(), judgement.cause(17).arithmetic                    # doctest: +SKIP

Promise: a row-level rule rejects exactly the rows that fail it; a batch-level failure, too many
rejected rows or a broken rule stop the batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ratchet.contracts.clock import calendar_fields
from ratchet.contracts.columns import EVENT, KEY
from ratchet.contracts.evidence import Evidence, Verdict, worst

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.contracts.seams import ExpectationResult

NAMED = 3  # rules named in the sentence about rejected rows
NOBODY = -1


@dataclass(frozen=True, eq=False)
class RowJudgement:
    """What a suite concluded on a batch.

    Attributes:
        evidence: one for each rule, in the suite's order, then those on the batch's size.
        first: shape (rows,): index into ``evidence`` of the first rule that the row failed; -1 for
            a row that may be learned from.
    """

    evidence: tuple[Evidence, ...]
    first: NDArray[np.int32]

    @property
    def rejected(self) -> NDArray[np.bool_]:
        """Mask of the rows that go to quarantine, shape (rows,)."""
        import numpy as np

        return np.not_equal(self.first, NOBODY)

    def cause(self, row: int) -> Evidence:
        """The evidence of the first rule that a rejected row failed.

        Raises:
            IndexError: the row was not rejected.
        """
        if self.first[row] == NOBODY:
            raise IndexError(f"row {row} was not rejected")
        return self.evidence[int(self.first[row])]

    def causes(self) -> dict[str, int]:
        """Check to the number of rows of which it is the cause, most frequent first."""
        import numpy as np

        found, counts = np.unique(self.first[self.rejected], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {self.evidence[found[i]].check: int(counts[i]) for i in order}


def suite_frame(rows: pa.Table, definition: Definition) -> pd.DataFrame:
    """What a suite sees of a batch: key, features, and the calendar's fields of the event time.

    Args:
        rows: the batch with its system columns.
        definition: for the features and the clock.
    """
    seen = rows.select([KEY, *definition.features])
    if definition.time.kind == "timestamp":
        for name, values in calendar_fields(rows[EVENT], definition.time.zone).items():
            seen = seen.append_column(name, values)
    frame: pd.DataFrame = seen.to_pandas()
    return frame


def judge_rows(
    results: Sequence[ExpectationResult], n_rows: int, definition: Definition
) -> RowJudgement:
    """Rejected rows and evidence from the results of a suite.

    A row-level failure is WARN (its rows are rejected, the rest goes on); a batch-level failure is
    BLOCK; a rule that broke is ERROR; a batch without rows is INCONCLUSIVE.

    Args:
        results: one for each expectation, as a ``SuiteRunner`` gives them.
        n_rows: rows of the frame that was validated.
        definition: for ``validate.max_quarantined_share`` and ``validate.min_rows``.
    """
    import numpy as np

    first = np.full(n_rows, NOBODY, dtype=np.int32)
    size = _size(n_rows, definition.validate_.min_rows)
    if n_rows == 0:
        return RowJudgement((size,), first)
    evidence = [_judge(result, n_rows) for result in results]
    for index, (result, found) in enumerate(zip(results, evidence, strict=True)):
        if result.level == "row" and found.verdict is Verdict.WARN:
            rows = np.asarray(result.failed_rows, dtype=np.int64)
            first[rows[first[rows] == NOBODY]] = index
    judged = RowJudgement(tuple(evidence), first)
    share = _quarantined(judged, n_rows, definition.validate_.max_quarantined_share)
    return RowJudgement((*evidence, *_silent(results), size, share), first)


def verdict(evidence: Iterable[Evidence]) -> Verdict:
    """The worst verdict; INCONCLUSIVE where there is no evidence."""
    return worst(e.verdict for e in evidence)


def _judge(result: ExpectationResult, n_rows: int) -> Evidence:
    failed = result.failed_rows
    details = {
        "level": result.level,
        "expected": result.expected,
        "observed": result.observed,
        "reason": result.reason,
        "failed": len(failed),
    }
    sentence = f"{result.observed}; expected: {result.expected}"
    if not result.success:  # it may be read without the name of its check
        sentence = ": ".join(filter(None, (result.reason, result.name, sentence)))
    share: float | None = None
    if result.exception is not None:
        broke = f"the check broke: {result.exception}"
        found, sentence = (
            Verdict.ERROR,
            ": ".join(filter(None, (result.reason, result.name, broke))),
        )
    elif result.success:
        found, share = Verdict.PASS, 0.0 if result.level == "row" else None
    elif result.level != "row" or not failed:  # no row named: the whole batch is in doubt
        found = Verdict.BLOCK
    elif min(failed) < 0 or max(failed) >= n_rows:
        found, sentence = Verdict.ERROR, f"row {max(failed)} named, but the batch has {n_rows} rows"
    else:
        found, share = Verdict.WARN, len(failed) / n_rows
    return Evidence(f"suite.{result.name}", found, sentence, share, None, details)


def _silent(results: Sequence[ExpectationResult]) -> list[Evidence]:
    """Evidence that there was none."""
    if results:
        return []
    return [Evidence("suite.ran", Verdict.INCONCLUSIVE, "no rule was run: 0 results", 0.0, 1.0)]


def _size(n_rows: int, minimum: int) -> Evidence:
    if n_rows == 0:
        return Evidence("rows.count", Verdict.INCONCLUSIVE, "no data: 0 rows", 0.0, float(minimum))
    small = n_rows < minimum
    sign, found = ("<", Verdict.WARN) if small else (">=", Verdict.PASS)
    sentence = f"{n_rows} rows {sign} min_rows {minimum}"
    return Evidence("rows.count", found, sentence, float(n_rows), float(minimum))


def _quarantined(judged: RowJudgement, n_rows: int, limit: float) -> Evidence:
    count = int(judged.rejected.sum())
    share = count / n_rows
    blocked = share > limit or count == n_rows
    causes = judged.causes()
    named = ", ".join(f"{check} ({rows})" for check, rows in list(causes.items())[:NAMED])
    shown = share if share <= limit else math.ceil(share * 1e4) / 1e4  # never shown as the limit
    sentence = f"quarantined share {shown:.4g} {'>' if share > limit else '<='} {limit:g}"
    if count:
        sentence += f": {count} of {n_rows} rows, most by {named}"
    found = Verdict.BLOCK if blocked else Verdict.PASS
    return Evidence("rows.quarantined_share", found, sentence, share, limit, {"causes": causes})
