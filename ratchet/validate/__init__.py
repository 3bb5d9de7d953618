"""validate: which rows may be learned from?

>>> judgement = judge_rows(runner.run(suite, frame), len(frame), definition)    # doctest: +SKIP
>>> evidence = [*judgement.evidence, *check_columns(rows, definition)]          # doctest: +SKIP
>>> verdict(evidence)                                                           # doctest: +SKIP
<Verdict.PASS: 'PASS'>

A batch is also compared with a trusted control of the same window (:func:`compare`,
:func:`look_back`), audited where it looks suspicious (:func:`judge_audit`), and entered into the
account of its source (:class:`Account`).

A check is a function that returns :class:`~ratchet.contracts.evidence.Evidence`; the verdict is the
worst of all. Promise: a broken instrument is an ERROR, never a pass; each rejected row knows the
rule that rejected it; every verdict carries its arithmetic.
"""

from ratchet.validate.accounts import Account, Facts, account_json, check_account
from ratchet.validate.audit import Audit, Picks, audit_span, choose, judge_audit, unreachable
from ratchet.validate.by_source import Blame, blame
from ratchet.validate.columns import check_columns, check_unseen, risen_columns
from ratchet.validate.control import NO_CONTROL, compare, degraded
from ratchet.validate.duplicates import check_duplicates, duplicated, stand_out
from ratchet.validate.facts import facts_by_source, merged
from ratchet.validate.labels import check_labels, expected_skill, skill, skill_from_metrics
from ratchet.validate.lookback import LOOK_BACK, LookBack, look_back
from ratchet.validate.lost import BEFORE, check_stuck, constant_columns, lacks_class
from ratchet.validate.match import Match, match
from ratchet.validate.moved import REMEMBERED, moved
from ratchet.validate.page import SUITE, checks_page
from ratchet.validate.probes import PROBED, probe
from ratchet.validate.quota import Quota, check_quota
from ratchet.validate.rows import RowJudgement, judge_rows, suite_frame, verdict
from ratchet.validate.sample import Comparison, Sample
from ratchet.validate.split_tests import FEWEST
from ratchet.validate.stragglers import Stragglers, check_stragglers

__all__ = [
    "BEFORE",
    "FEWEST",
    "LOOK_BACK",
    "NO_CONTROL",
    "PROBED",
    "REMEMBERED",
    "SUITE",
    "Account",
    "Audit",
    "Blame",
    "Comparison",
    "Facts",
    "LookBack",
    "Match",
    "Picks",
    "Quota",
    "RowJudgement",
    "Sample",
    "Stragglers",
    "account_json",
    "audit_span",
    "blame",
    "check_account",
    "check_columns",
    "check_duplicates",
    "check_labels",
    "check_quota",
    "check_stragglers",
    "check_stuck",
    "check_unseen",
    "checks_page",
    "choose",
    "compare",
    "constant_columns",
    "degraded",
    "duplicated",
    "expected_skill",
    "facts_by_source",
    "judge_audit",
    "judge_rows",
    "lacks_class",
    "look_back",
    "match",
    "merged",
    "moved",
    "probe",
    "risen_columns",
    "skill",
    "skill_from_metrics",
    "stand_out",
    "suite_frame",
    "unreachable",
    "verdict",
]
