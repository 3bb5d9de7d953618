"""Faults of content: what validate and profile do with data that should not be learned from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ratchet import profile
from ratchet.adapters.expectations import GreatExpectations
from ratchet.adapters.samples import read_samples
from ratchet.contracts import bundle, score
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Lineage
from ratchet.errors import RatchetError
from ratchet.validate import check_columns, check_labels, check_unseen, judge_rows, verdict
from tests.content_kit import batch, definition, expectation, labels, skilled, suite

DEFINITION = definition()
RULES = suite(
    expectation(
        "table_columns_to_match_set", "batch", column_set=["_key", "size", "heat", "color"]
    ),
    expectation("column_values_to_be_between", column="heat", min_value=0, max_value=100),
    expectation("column_values_to_be_in_set", column="color", value_set=["red", "green", "blue"]),
)
TEN_MB = "x" * 10_000_000


def judged(rows: pa.Table):
    """Evidence of the suite and of the column checks, by check."""
    results = GreatExpectations().run(RULES, rows.to_pandas())
    found = [
        *judge_rows(results, rows.num_rows, DEFINITION).evidence,
        *check_columns(rows, DEFINITION),
    ]
    for evidence in found:
        json.dumps(evidence.as_json(), allow_nan=False)
    return {e.check: e for e in found}


def only(found, check: str):
    return next(e for e in found if e.check == check)


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (batch().append_column("surprise", pa.array([1.0] * 200)), "not expected: surprise"),
        (batch(heat=None), "missing: heat"),
        (batch(heat=pa.array(["warm"] * 200)), "heat is string instead of number"),
        (
            batch(color=pa.array([1.0] * 200)),
            "color is double instead of category",
        ),
        (
            batch(heat=None).append_column("temperature", pa.array([1.0] * 200)),
            "missing: heat; undeclared: temperature (renamed?)",
        ),
    ],
    ids=["added", "dropped", "retyped", "retyped category", "renamed"],
)
def test_fault_10_column_added_dropped_retyped_renamed(rows, named):
    found = judged(rows)
    assert not verdict(found.values()).lets_through
    stopped = [e.arithmetic for e in found.values() if not e.verdict.lets_through]
    assert any(named in sentence for sentence in stopped), stopped


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300, np.nan])
def test_fault_12_numbers_that_no_trainer_may_see(value):
    size = np.full(200, 10.0)
    size[5] = value
    found = judged(batch(size=pa.array(size)))["columns.finite"]
    assert found.verdict is Verdict.BLOCK
    assert "size (1)" in found.arithmetic


def test_fault_12_a_range_rule_rejects_just_the_infinite_row():
    heat = np.full(200, 50.0)
    heat[[3, 4]] = np.inf, 1e300
    results = GreatExpectations().run(RULES, batch(heat=pa.array(heat)).to_pandas())
    found = judge_rows(results, 200, DEFINITION)
    assert np.flatnonzero(found.rejected).tolist() == [3, 4]
    assert verdict(found.evidence) is Verdict.WARN


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, -1.0, 2.0, 0.5])
def test_fault_12_labels_that_are_none(value):
    y = [0.0, 1.0] * 50 + [value]
    found = check_labels(labels(y), DEFINITION, scores=None, expected_skill=None)
    assert verdict(found) is Verdict.BLOCK
    assert "1 of 101 labels are not a class index from 0 to 1" in found[0].arithmetic


def test_fault_12_null_and_infinite_regression_targets():
    numbers = definition(label={"objective": "regression", "classes": []})
    table = labels([1.5, 2.5]).set_column(2, "_label", pa.array([1.5, None], pa.float64()))
    for rows in (table, labels([1.5, np.inf]), labels([1.5, 1e300])):
        found = check_labels(rows, numbers, scores=None, expected_skill=None)
        assert verdict(found) is Verdict.BLOCK
        assert "a finite number" in found[0].arithmetic


def test_fault_13_single_class_is_said():
    found = check_labels(labels([1] * 100), DEFINITION, scores=None, expected_skill=None)
    classes = only(found, "labels.classes")
    assert classes.verdict is Verdict.WARN
    assert classes.arithmetic == "1 of 2 classes in 100 labels: 0 0, 1 1"
    scored = check_labels(
        labels([1] * 100), DEFINITION, scores=np.full(100, 0.3), expected_skill=0.5
    )
    assert only(scored, "labels.agreement").verdict is Verdict.WARN


def test_fault_13_single_class_is_blocked_where_chance_cannot_explain_it():
    rng = np.random.default_rng(13)
    before = [(rng.random(500) < 0.3).astype(float) for _ in range(8)]
    for kept in (0, 1):
        found = check_labels(
            labels([kept] * 500), DEFINITION, scores=None, expected_skill=None, before=before
        )
        assert only(found, "labels.classes").verdict is Verdict.BLOCK
        assert not verdict(found).lets_through


def test_fault_13_no_labels_are_no_negatives():
    found = check_labels(labels([]), DEFINITION, scores=None, expected_skill=None)
    assert [e.verdict for e in found] == [Verdict.WARN]
    assert "absence says nothing" in found[0].arithmetic


def test_fault_14_a_feature_without_a_value_blocks():
    found = judged(batch(heat=pa.nulls(200, pa.float64())))["columns.nulls"]
    assert found.verdict is Verdict.BLOCK
    assert "heat 1" in found.arithmetic


def test_fault_14_all_features_without_a_value_block():
    empty = batch(
        size=pa.nulls(200, pa.float64()),
        heat=pa.nulls(200, pa.float64()),
        color=pa.nulls(200, pa.string()),
    )
    assert judged(empty)["columns.nulls"].verdict is Verdict.BLOCK


def manifest_knowing(*colors: str) -> bundle.Manifest:
    lineage = Lineage("toy", "0", 0, {}, 1, 1, 0, 0, None, 0, 0, "", "", "", None)
    kinds = dict(DEFINITION.features)
    return bundle.Manifest("binary", (0, 1), kinds, {"color": colors}, {}, lineage)


def test_fault_15_unseen_categories_are_missing_counted_and_thresholded():
    rows = batch(color=pa.array(["red"] * 170 + ["pink"] * 20 + [None] * 10))
    manifest = manifest_knowing("blue", "red")
    counts = score.unseen(rows, bundle.Bundle(manifest, {}, b""))
    assert counts == {"color": 20}
    encoded = score.encode(rows, manifest.features, manifest.categories)[:, 2]
    assert np.isnan(encoded).sum() == 30
    assert check_unseen(counts, 200, 0.2).verdict is Verdict.WARN
    blocked = check_unseen(counts, 200, 0.05)
    assert blocked.verdict is Verdict.BLOCK
    assert "20 of 200 rows, share 0.1 > 0.05; they count as missing" in blocked.arithmetic


def test_fault_17_integers_above_2_24_are_flagged_at_validation():
    ids = np.arange(2**24, 2**24 + 200, dtype=float)
    found = judged(batch(size=pa.array(ids)))["columns.exact"]
    assert found.verdict is Verdict.WARN
    assert "size" in found.arithmetic and found.details["merged"]["size"] > 0


def test_fault_17_numbers_that_fit_are_not_flagged():
    fine = judged(batch(size=pa.array([2.0**24] * 100 + [2.0**24 + 0.5] * 100)))
    assert fine["columns.exact"].verdict is Verdict.PASS


def sample(n: int = 400, **columns) -> pa.Table:
    rng = np.random.default_rng(0)
    content = {
        "seq": pa.array(np.arange(n)),
        "size": pa.array(rng.normal(size=n)),
        "color": pa.array(rng.choice(["red", "green"], n)),
        "y": pa.array(rng.integers(0, 2, n)),
    }
    return pa.table({**content, **columns})


def inferred(table: pa.Table) -> profile.Inferred:
    return profile.infer(table, profile.InitOptions("toy", Path("toy.csv"), "y", time="seq"))


def test_fault_17_integers_above_2_24_are_flagged_at_profiling():
    account = pa.array(2**24 + np.random.default_rng(0).permutation(400) * 3 // 2)
    found = inferred(sample(account=account))
    assert found.features["account"] == "number"
    assert any("integers above 2^24" in s and "account" in s for s in profile.sentences(found))


@pytest.mark.parametrize("cell", [TEN_MB, "a\x00b", "a\u202eb", "", "=cmd()", "\ud7ff"])
def test_fault_18_strange_text_is_judged_without_a_traceback(cell):
    rows = batch(color=pa.array(["red"] * 199 + [cell]))
    found = judged(rows)["suite.column_values_to_be_in_set(color)"]
    assert found.verdict is Verdict.WARN
    assert "1 of 200 rows fail" in found.arithmetic
    assert found.arithmetic.isprintable() and len(found.arithmetic) < 300


@pytest.mark.parametrize("cell", [TEN_MB, "a\x00b", "a\u202eb"])
def test_fault_18_strange_text_is_profiled_and_said(cell):
    table = sample(color=pa.array(["red", "green"] * 199 + ["red", cell]))
    found = inferred(table)
    text, said = profile.pipeline_toml(found), "\n".join(profile.sentences(found))
    assert parse(text).name == "toy"
    json.dumps(profile.suite_json(found, table))
    assert "'color'" in said and len(said) < 5000 and said.replace("\n", "").isprintable()
    assert ("color" in found.ignored) == (cell is TEN_MB)
    if cell is not TEN_MB:
        assert "control or bidi characters in 1 rows" in said


@pytest.mark.parametrize("cell", [TEN_MB, "a\x00b"])
def test_fault_18_strange_text_in_a_file_is_read_or_refused(tmp_path, cell):
    path = tmp_path / "toy.csv"
    path.write_bytes(b"seq,color\n1,red\n2," + cell.encode() + b"\n")
    assert read_samples(path)["color"].to_pylist() == ["red", cell]
    path.write_bytes(b"seq,color\n1,\xff\xfe\n2,red\n")
    table = None
    try:
        table = read_samples(path)
    except RatchetError as error:
        assert "toy.csv" in str(error)
    assert table is None or table.num_rows == 2


@pytest.mark.parametrize("share", [0.4, 0.5, 1.0])
@pytest.mark.parametrize("base_rate", [0.24, 0.5])
def test_fault_20_flipped_labels_block_from_40_percent(share, base_rate):
    """From 40 % on random flips leave less than 0.35 of the skill. Below, drift looks the same."""
    rng = np.random.default_rng(20)
    for _ in range(10):
        y, scores = skilled(6500, 0.5, base_rate, rng)
        flipped = np.where(rng.random(6500) < share, 1 - y, y)
        found = check_labels(labels(flipped), DEFINITION, scores=scores, expected_skill=0.5)
        blocked = only(found, "labels.agreement")
        assert blocked.verdict is Verdict.BLOCK
        assert "<" in blocked.arithmetic and blocked.measured < blocked.threshold


@pytest.mark.parametrize("skill_now", [0.5, 0.4, 0.3, 0.25])
def test_fault_20_natural_variation_and_drift_do_not_block(skill_now):
    """Weeks whose base rate and skill move as those of real flights do."""
    rng = np.random.default_rng(20)
    for _ in range(20):
        y, scores = skilled(6500, skill_now, rng.uniform(0.1, 0.5), rng)
        found = check_labels(labels(y), DEFINITION, scores=scores, expected_skill=0.5)
        assert verdict(found).lets_through
