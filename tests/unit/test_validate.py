"""validate: judgements on rows, columns and labels."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.defence import Trusted
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.seams import ExpectationResult
from ratchet.validate import (
    check_columns,
    check_labels,
    check_unseen,
    judge_rows,
    risen_columns,
    skill,
    skill_from_metrics,
    verdict,
)
from tests.content_kit import batch, definition, labels, skilled

DEFINITION = definition()


def result(name: str, level: str = "row", failed=(), **changes) -> ExpectationResult:
    success = changes.pop("success", not failed)
    return ExpectationResult(
        name, level, success, "seen", "wanted", "because", tuple(failed), **changes
    )


def by_check(evidence) -> dict[str, Evidence]:
    return {e.check: e for e in evidence}


# rows


def test_rejected_rows_carry_the_first_rule_they_failed():
    judged = judge_rows([result("a", failed=[1]), result("b", failed=[1, 3])], 100, DEFINITION)
    assert np.flatnonzero(judged.rejected).tolist() == [1, 3]
    assert judged.cause(1).check == "suite.a"
    assert judged.cause(3).check == "suite.b"
    assert "because" in judged.cause(3).arithmetic
    assert judged.causes() == {"suite.a": 1, "suite.b": 1}
    assert verdict(judged.evidence) is Verdict.WARN
    with pytest.raises(IndexError, match="row 0 was not rejected"):
        judged.cause(0)


def test_too_many_rejected_rows_block_and_name_the_rules():
    judged = judge_rows(
        [result("a", failed=range(4)), result("b", failed=range(12))], 100, DEFINITION
    )
    share = by_check(judged.evidence)["rows.quarantined_share"]
    assert share.verdict is Verdict.BLOCK
    assert share.arithmetic == (
        "quarantined share 0.12 > 0.05: 12 of 100 rows, most by suite.b (8), suite.a (4)"
    )
    assert (share.measured, share.threshold) == (0.12, 0.05)


def test_the_share_at_the_limit_passes_and_just_above_is_not_shown_as_the_limit():
    at = judge_rows([result("a", failed=range(500))], 10_000, DEFINITION)
    over = judge_rows([result("a", failed=range(50_001))], 1_000_000, DEFINITION)
    assert by_check(at.evidence)["rows.quarantined_share"].verdict is Verdict.PASS
    share = by_check(over.evidence)["rows.quarantined_share"]
    assert share.verdict is Verdict.BLOCK
    assert share.arithmetic.startswith("quarantined share 0.0501 > 0.05")


def test_a_batch_of_which_nothing_is_left_is_blocked_whatever_the_limit():
    lenient = definition(validate={"max_quarantined_share": 1.0})
    judged = judge_rows([result("a", failed=range(20))], 20, lenient)
    assert verdict(judged.evidence) is Verdict.BLOCK


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (result("a"), Verdict.PASS),
        (result("a", "batch"), Verdict.PASS),
        (result("a", "batch", success=False), Verdict.BLOCK),
        (result("a", success=False), Verdict.BLOCK),  # no row named: the batch is in doubt
        (result("a", failed=[2]), Verdict.WARN),
        (result("a", failed=[100]), Verdict.ERROR),  # a row that the batch does not have
        (result("a", failed=[-1]), Verdict.ERROR),
        (result("a", success=False, exception="broke"), Verdict.ERROR),
    ],
)
def test_what_each_result_stands_for(outcome, expected):
    judged = judge_rows([outcome], 100, DEFINITION)
    assert judged.evidence[0].verdict is expected
    assert verdict(judged.evidence) is expected
    assert judged.rejected.sum() == (expected is Verdict.WARN)


def test_no_rows_are_inconclusive_and_few_are_a_warning():
    none = judge_rows([result("a", "batch", success=False)], 0, DEFINITION)
    assert [(e.check, e.verdict) for e in none.evidence] == [("rows.count", Verdict.INCONCLUSIVE)]
    assert none.rejected.shape == (0,)
    few = judge_rows([result("a")], 9, DEFINITION)
    assert by_check(few.evidence)["rows.count"].arithmetic == "9 rows < min_rows 10"
    assert verdict(few.evidence) is Verdict.WARN


def test_no_rule_is_no_evidence():
    assert verdict(judge_rows([], 100, DEFINITION).evidence) is Verdict.INCONCLUSIVE
    assert verdict([]) is Verdict.INCONCLUSIVE


@given(st.lists(st.lists(st.integers(0, 49), max_size=20, unique=True), min_size=1, max_size=6))
def test_rejected_rows_are_the_union_and_each_has_the_first_cause(failures):
    judged = judge_rows([result(str(i), failed=f) for i, f in enumerate(failures)], 50, DEFINITION)
    assert set(np.flatnonzero(judged.rejected)) == set().union(*failures)
    assert sum(judged.causes().values()) == judged.rejected.sum()
    for row in np.flatnonzero(judged.rejected):
        first = next(i for i, f in enumerate(failures) if row in f)
        assert judged.cause(row).check == f"suite.{first}"
    for evidence in judged.evidence:
        json.dumps(evidence.as_json(), allow_nan=False)


# columns


def test_a_healthy_batch_passes_every_column_check():
    evidence = check_columns(batch(), DEFINITION, batch(seed=1))
    assert {e.check: e.verdict for e in evidence} == dict.fromkeys(
        [f"columns.{c}" for c in ("present", "keys", "nulls", "finite", "exact")],
        Verdict.PASS,
    )


def test_a_batch_without_rows_is_inconclusive():
    assert verdict(check_columns(batch().slice(0, 0), DEFINITION)) is Verdict.INCONCLUSIVE


def test_repeated_and_empty_keys_block():
    keys = pa.array(["a", "a", None] + [f"k{i}" for i in range(197)], pa.string())
    found = by_check(check_columns(batch(_key=keys), DEFINITION))["columns.keys"]
    assert found.verdict is Verdict.BLOCK
    assert found.arithmetic.startswith("1 repeated and 1 empty keys")


@pytest.mark.parametrize(
    ("before", "now", "rows", "expected"),
    [
        (None, 1.0, 200, Verdict.BLOCK),  # empty
        (None, 1.0, 5, Verdict.WARN),  # empty, but hardly any rows
        (None, 0.99, 200, Verdict.PASS),  # nothing to compare with
        (0.0, 1.0, 5, Verdict.BLOCK),  # never missing before: not by chance
        (0.95, 1.0, 200, Verdict.WARN),  # nearly always missing
        (0.8, 1.0, 20, Verdict.WARN),  # may happen by chance in 20 rows
        (0.1, 0.25, 200, Verdict.PASS),
        (0.1, 0.4, 200, Verdict.WARN),
        (0.1, 0.6, 200, Verdict.BLOCK),
        (0.1, 0.6, 5, Verdict.WARN),  # too few rows to block by
        (0.9, 0.1, 200, Verdict.PASS),  # fuller than before
    ],
)
def test_null_shares(before, now, rows, expected):
    def with_nulls(share: float, n: int) -> pa.Table:
        gone = round(share * n)
        return batch(n, heat=pa.array([None] * gone + [1.0 * i for i in range(n - gone)]))

    reference = None if before is None else with_nulls(before, 100)
    rows_table = with_nulls(now, rows)
    rows_table = rows_table.set_column(2, "heat", rows_table["heat"].cast(pa.float64()))
    found = by_check(check_columns(rows_table, DEFINITION, reference))["columns.nulls"]
    assert found.verdict is expected, found.arithmetic
    if expected is not Verdict.PASS:
        assert "heat" in found.arithmetic


def with_shares(shares: list[float], n: int = 200) -> list[pa.Table]:
    """Windows of which such shares have no heat."""
    return [
        batch(n, heat=pa.array([None if i < s * n else 1.0 * i for i in range(n)], pa.float64()))
        for s in shares
    ]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([0.0, 0.5, 0.1, 0.4, 0.0], 0.6, Verdict.PASS),  # two windows had as much, but for 0.2
        ([0.0, 0.5, 0.1, 0.4, 0.0], 0.7, Verdict.WARN),
        ([0.0, 0.5, 0.1, 0.4, 0.0], 0.8, Verdict.BLOCK),
        ([0.0, 0.5, 0.1, 0.4, 0.0], 1.0, Verdict.BLOCK),
        ([0.0, 0.6, 0.0, 0.0, 0.0], 0.6, Verdict.BLOCK),  # one window may be a fault itself
        ([0.0] * 16, 0.5, Verdict.BLOCK),  # nearly complete
        ([0.6], 0.6, Verdict.BLOCK),
        ([0.1, 0.93, 0.92, 0.5], 1.0, Verdict.WARN),  # gusts on a calm day
        ([0.1, 0.93, 0.5], 1.0, Verdict.BLOCK),
    ],
)
def test_null_shares_that_windows_before_reached_are_no_jump(before, now, expected):
    (rows,), (reference,) = with_shares([now]), with_shares([0.1])
    assert risen_columns(rows, DEFINITION, reference) == ["heat"]
    history = [t.select(["heat"]) for t in with_shares(before)]
    found = by_check(check_columns(rows, DEFINITION, reference, history))["columns.nulls"]
    assert found.verdict is expected, found.arithmetic


def test_windows_before_only_excuse_and_tiny_ones_say_nothing():
    (rows,), (reference,) = with_shares([0.6]), with_shares([0.1])
    full = check_columns(rows, DEFINITION, None, with_shares([0.0] * 8))
    assert by_check(full)["columns.nulls"].verdict is Verdict.PASS
    tiny = with_shares([0.6] * 8, DEFINITION.validate_.min_rows - 1)
    found = by_check(check_columns(rows, DEFINITION, reference, tiny))["columns.nulls"]
    assert found.verdict is Verdict.BLOCK
    assert risen_columns(batch(heat=None), DEFINITION, reference) == []


# unseen categories


def test_unseen_counts_take_the_worst_feature():
    found = check_unseen({"color": 3, "shape": 30, "plain": 0}, 100, 0.2)
    assert found.verdict is Verdict.BLOCK
    assert found.arithmetic.startswith(
        "unseen categories in shape: 30 of 100 rows, share 0.3 > 0.2"
    )
    assert found.details["counts"] == {"color": 3, "shape": 30}
    assert check_unseen({"shape": 20}, 100, 0.2).verdict is Verdict.WARN
    assert check_unseen({"shape": 0}, 100, 0.2).verdict is Verdict.PASS
    assert check_unseen({}, 0, 0.2).verdict is Verdict.INCONCLUSIVE


# labels


def agreement(y, scores, expected=0.5, definition=DEFINITION, events=None) -> Evidence:
    found = check_labels(labels(y, events), definition, scores=scores, expected_skill=expected)
    return by_check(found)["labels.agreement"]


def test_labels_that_the_champion_orders_as_before_pass():
    y, scores = skilled(3000, 0.5, 0.3, np.random.default_rng(0))
    found = agreement(y, scores)
    assert found.verdict is Verdict.PASS
    assert found.details["rows"] == 3000
    assert ">= 0.175 = (1 - 0.65) x 0.500" in found.arithmetic


def test_a_champion_that_lost_half_of_its_skill_is_drift_not_poison():
    y, scores = skilled(3000, 0.25, 0.3, np.random.default_rng(0))
    assert agreement(y, scores).verdict is Verdict.PASS


def test_labels_that_do_not_agree_at_all_block():
    rng = np.random.default_rng(0)
    _, scores = skilled(3000, 0.5, 0.3, rng)
    found = agreement((rng.random(3000) < 0.3).astype(float), scores)
    assert found.verdict is Verdict.BLOCK
    assert found.arithmetic.endswith("the labels, not the champion, have changed")


def test_with_a_trusted_control_a_collapse_of_skill_only_warns() -> None:
    """A concept that drifts away looks the same; the control tells the two apart."""
    rng = np.random.default_rng(5)
    scores = rng.random(3000)
    y = (rng.random(3000) < scores).astype(float)
    compared = DEFINITION.model_copy(update={"trusted": Trusted(objects="trusted/**")})
    found = agreement(1 - y, scores, definition=compared)
    assert found.verdict is Verdict.WARN
    assert "the trusted control decides which" in found.arithmetic
    assert agreement(1 - y, scores).verdict is Verdict.BLOCK


@pytest.mark.parametrize(
    ("expected", "n", "scored", "message"),
    [
        (None, 500, 500, "no champion yet"),
        (float("nan"), 500, 500, "no champion yet"),
        (0.1, 500, 500, "too weak to judge"),
        (-0.3, 500, 500, "too weak to judge"),
        (0.5, 500, 49, "49 labels of scored rows < 50"),
    ],
)
def test_without_a_ruler_agreement_warns(expected, n, scored, message):
    y, scores = skilled(n, 0.5, 0.5, np.random.default_rng(0))
    scores[scored:] = np.nan
    found = agreement(y, scores, expected)
    assert found.verdict is Verdict.WARN
    assert message in found.arithmetic


def test_no_scores_warn():
    found = check_labels(labels([0, 1] * 50), DEFINITION, scores=None, expected_skill=0.5)
    assert by_check(found)["labels.agreement"].arithmetic == "no champion yet to compare with"


def test_rows_without_a_score_are_left_out():
    y, scores = skilled(3000, 0.5, 0.5, np.random.default_rng(0))
    wrong = y.copy()
    wrong[2000:] = 1 - wrong[2000:]
    scores[2000:] = np.nan
    assert agreement(wrong, scores).verdict is Verdict.PASS


def test_rows_of_few_moments_count_for_themselves():
    y, scores = skilled(2000, 0.5, 0.5, np.random.default_rng(0))
    assert agreement(y, scores, events=[7] * 2000).verdict is Verdict.PASS
    assert agreement(1 - y, scores, events=[7] * 2000).verdict is Verdict.BLOCK


def test_multiclass_labels_are_compared_with_the_winning_class():
    rng = np.random.default_rng(0)
    many = definition(label={"objective": "multiclass", "classes": ["a", "b", "c"]})
    y = rng.integers(0, 3, 2000).astype(float)
    scores = rng.dirichlet(np.ones(3), 2000)
    scores[np.arange(2000), y.astype(int)] += 0.5
    assert agreement(y, scores, 0.5, many).verdict is Verdict.PASS
    assert agreement((y + 1) % 3, scores, 0.5, many).verdict is Verdict.BLOCK
    missing = np.where(rng.random(2000)[:, None] < 0.99, np.nan, scores)
    assert agreement(y, missing, 0.5, many).verdict is Verdict.WARN


def test_regression_targets_are_compared_by_rank():
    rng = np.random.default_rng(0)
    numbers = definition(label={"objective": "regression", "classes": []})
    y = rng.lognormal(3, 1, 2000)
    scores = y * rng.lognormal(0, 0.5, 2000)
    found = check_labels(labels(y), numbers, scores=scores, expected_skill=0.8)
    assert [e.check for e in found] == ["labels.values", "labels.agreement"]
    assert verdict(found) is Verdict.PASS
    assert agreement(rng.permutation(y), scores, 0.8, numbers).verdict is Verdict.BLOCK
    assert agreement(np.ones(2000), scores, 0.8, numbers).verdict is Verdict.WARN


@pytest.mark.parametrize(
    ("objective", "metrics", "classes", "expected"),
    [
        ("binary", {"auc": 0.75}, 2, 0.5),
        ("multiclass", {"balanced_accuracy": 0.5}, 4, 1 / 3),
        ("multiclass", {"balanced_accuracy": 0.25}, 4, 0.0),
        ("regression", {"r2": 0.25}, 0, 0.5),
        ("regression", {"r2": -3.0}, 0, 0.0),
        ("binary", {"loss": 0.4}, 2, None),
    ],
)
def test_skill_from_metrics(objective, metrics, classes, expected):
    assert skill_from_metrics(objective, metrics, classes) == (
        None if expected is None else pytest.approx(expected)
    )


@given(st.integers(0, 2**32 - 1))
def test_skill_is_chance_at_0_and_perfect_at_1_and_falls_when_labels_flip(seed):
    rng = np.random.default_rng(seed)
    y, scores = skilled(400, 0.6, 0.5, rng)
    assert skill("binary", y, y) == 1.0
    assert skill("binary", y, 1 - y) == -1.0
    assert skill("binary", y, scores) == pytest.approx(-skill("binary", 1 - y, scores))
    assert skill("regression", scores, np.exp(scores)) == pytest.approx(1.0)
