"""A feature that leaks the label is told from one that is merely strong, and drift only warns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.power import power
from ratchet.gate import ShortcutInput, judge_shortcut
from tests.learning import definition

PIPELINE = definition(gate="shortcuts = true")
WEAK, STRONG = {"x": 0.1, "z": 0.9, "kind": 0.0}, {"x": 0.7, "z": 0.2, "kind": 0.1}


def request(
    leak: float = 0.0,
    late: float = 0.0,
    before: dict[str, float] | None = WEAK,
    after: dict[str, float] = STRONG,
    objective: str = "binary",
    everywhere: bool = False,
    seed: int = 0,
) -> ShortcutInput:
    """``x`` follows the truth a little; of late rows (or of all) ``leak`` hold the label."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=2000)
    y = (truth + random.normal(size=2000) > 0).astype(float)
    x, known_late = truth.copy(), random.random(2000) < late
    written = (random.random(2000) < leak) & (known_late | everywhere)
    x[written] = 4 * y[written] - 2 + random.normal(0, 0.1, int(written.sum()))
    kinds = random.choice(["a", "b", None], 2000).tolist()
    y = {"binary": y, "multiclass": 1 + y, "regression": 10 * y + x / 10}[objective]
    rows = pa.table({"x": x, "z": random.normal(size=2000), "kind": pa.array(kinds)})
    return ShortcutInput(
        y, np.arange(2000), rows, known_late, np.arange(2000) >= 800, before, after
    )


def judged(asked: ShortcutInput, objective: str = "binary") -> Evidence:
    (found,) = judge_shortcut(asked, definition(objective, gate="shortcuts = true"))
    return found


@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
def test_a_feature_that_late_rows_have_from_the_outcome_blocks(objective: str) -> None:
    found = judged(request(leak=0.9, late=0.4, objective=objective), objective)
    assert found.verdict is Verdict.BLOCK
    assert "x carries 0.70 of the gain, 0.10 in the champion: +0.60 > 0.3" in found.arithmetic
    assert "rows known as late as their label" in found.arithmetic
    assert found.details["feature"] == "x"


def test_the_same_leak_in_the_first_candidate_blocks_and_in_the_champion_too_it_warns() -> None:
    assert judged(request(leak=0.9, late=0.4, before=None)).verdict is Verdict.BLOCK
    found = judged(request(leak=0.9, late=0.4, before=STRONG))
    assert (found.verdict, found.details["doubt"]) == (Verdict.WARN, False)


@pytest.mark.parametrize("before", [None, {"x": 0.02, "z": 0.9, "kind": 0.08}])
def test_a_leak_that_late_rows_have_and_that_carries_little_is_for_a_person(
    before: dict[str, float] | None,
) -> None:
    little = {"x": 0.1, "z": 0.8, "kind": 0.1}
    found = judged(request(leak=0.9, late=0.4, before=before, after=little))
    assert (found.verdict, found.details["doubt"]) == (Verdict.WARN, True)
    assert found.details["feature"] == "x"
    honest = judged(request(late=0.4, before=before, after=little))
    assert (honest.verdict, honest.details["doubt"]) == (Verdict.PASS, False)


def test_a_feature_that_is_suddenly_perfect_blocks() -> None:
    found = judged(request(leak=1.0, everywhere=True))
    assert found.verdict is Verdict.BLOCK
    assert ">= 0.98; 0 rows known as late as their label" in found.arithmetic
    assert judged(request(leak=1.0, everywhere=True, before=STRONG)).verdict is Verdict.PASS
    first = judged(request(leak=1.0, everywhere=True, before=None))
    assert (first.verdict, first.details["doubt"]) == (Verdict.WARN, True)


@pytest.mark.parametrize("before", [None, {"x": 0.02, "z": 0.9, "kind": 0.08}])
def test_a_perfect_feature_that_carries_little_yet_is_for_a_person(
    before: dict[str, float] | None,
) -> None:
    """As when one member of a mixture has learned the first window that leaks."""
    little = {"x": 0.2, "z": 0.7, "kind": 0.1}
    found = judged(request(leak=1.0, everywhere=True, before=before, after=little))
    assert (found.verdict, found.details["doubt"]) == (Verdict.WARN, True)
    assert judged(request(before=before, after=little)).verdict is Verdict.PASS


def test_perfection_is_seen_where_the_held_out_rows_are_one_window_of_eight() -> None:
    asked = request(leak=1.0, everywhere=True)
    asked = replace(asked, held=np.arange(2000) >= 1600)
    pipeline = definition(gate="shortcuts = true\nblocks = 14")
    (found,) = judge_shortcut(asked, pipeline)
    assert found.verdict is Verdict.BLOCK
    assert "by itself AUC 0.999, lower bound 0.997 >= 0.98" in found.arithmetic


def test_a_jump_alone_is_a_doubt_and_late_rows_like_the_others_change_nothing() -> None:
    for late in (0.0, 0.4):
        found = judged(request(late=late))
        assert (found.verdict, found.details["doubt"]) == (Verdict.WARN, True)
    assert judged(request(before=STRONG)).verdict is Verdict.PASS
    assert judged(request(before=None)).verdict is Verdict.PASS


@pytest.mark.parametrize("before", [None, {"x": 0.6, "z": 0.3, "kind": 0.1}])
def test_a_doubt_stands_until_the_champion_leans_on_the_feature_as_much(
    before: dict[str, float] | None,
) -> None:
    quiet = request(before=before)
    assert judged(quiet).verdict is Verdict.PASS
    found = judged(replace(quiet, doubted={"x": "2013-01-01", "kind": "2012-05-01"}))
    assert (found.verdict, found.details["doubt"]) == (Verdict.WARN, True)
    assert found.arithmetic.endswith("; in doubt since 2013-01-01, and nobody has answered")
    assert found.details["doubted"]["x"] == "2013-01-01"
    served = judged(replace(quiet, before=STRONG, doubted={"x": "2013-01-01"}))
    assert (served.verdict, served.details["doubted"]) == (Verdict.PASS, {})


def test_what_was_blocked_is_in_doubt_from_then_on() -> None:
    found = judged(replace(request(leak=1.0, everywhere=True), window="2013-02-05"))
    assert found.verdict is Verdict.BLOCK
    assert found.details["doubted"] == {"x": "2013-02-05"}


def test_no_feature_that_carries_much_passes_and_off_says_nothing() -> None:
    found = judged(request(leak=0.9, late=0.4, after={"x": 0.04, "z": 0.03, "kind": 0.02}))
    assert (found.verdict, found.measured) == (Verdict.PASS, 0.04)
    assert judge_shortcut(request(), definition()) == []
    assert definition(gate="shortcuts = false").digest == definition().digest != PIPELINE.digest


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60))
def test_what_says_nothing_predicts_nothing_however_many_groups(seed: int, groups: int) -> None:
    random = np.random.default_rng(seed)
    y = (random.random(1500) < 0.4).astype(float)
    found = power(y, random.integers(0, groups, 1500), np.arange(1500) * 40 // 1500)
    assert abs(found.value - 0.5) < 5 * found.error


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_clean_candidates_are_never_blocked(seed: int) -> None:
    assert judged(request(late=0.3, seed=seed)).verdict is Verdict.WARN
