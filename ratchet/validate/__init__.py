"""validate: which rows may be learned from?

>>> judgement = judge_rows(runner.run(suite, frame), len(frame), definition)    # doctest: +SKIP
>>> evidence = [*judgement.evidence, *check_columns(rows, definition)]          # doctest: +SKIP
>>> verdict(evidence)                                                           # doctest: +SKIP
<Verdict.PASS: 'PASS'>

A check is a function that returns :class:`~ratchet.contracts.evidence.Evidence`; the verdict is the
worst of all. Promise: a broken instrument is an ERROR, never a pass; each rejected row knows the
rule that rejected it; every verdict carries its arithmetic.
"""

from ratchet.validate.columns import check_columns, check_unseen
from ratchet.validate.labels import check_labels, skill, skill_from_metrics
from ratchet.validate.rows import RowJudgement, judge_rows, verdict

__all__ = [
    "RowJudgement",
    "check_columns",
    "check_labels",
    "check_unseen",
    "judge_rows",
    "skill",
    "skill_from_metrics",
    "verdict",
]
