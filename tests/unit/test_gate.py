"""A better model passes; an equal or worse one does not; nothing passes for lack of evidence."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.definition import Definition
from ratchet.contracts.evidence import Evidence, Verdict, worst
from ratchet.gate import Comparison, GateInput, judge
from ratchet.gate.bootstrap import bounds, draw
from ratchet.gate.slices import judge_slices
from tests.learning import definition

PIPELINE = definition(gate='slices = ["kind"]\nslice_min_rows = 50\nslice_margin = 0.1')


def request(
    rows: int = 2000, seed: int = 0, skill: float = 1.0, champion: float = 0.6
) -> GateInput:
    """A holdout whose truth the candidate follows with ``skill`` and the champion with less."""
    random = np.random.default_rng(seed)
    signal = random.normal(size=rows)
    y = (random.random(rows) < logistic(signal)).astype(float)
    return GateInput(
        y=y,
        events=np.sort(random.integers(0, 100, rows)),
        candidate=logistic(skill * signal),
        champion=logistic(champion * signal),
        baseline=y.mean(),
        mature_rows=rows,
        overlap=0,
        holdout_from=800,
        champion_trained_before=700,
        slices={"kind": random.choice(["a", "b", "c"], rows).tolist()},
        comparison=begun(),
    )


def logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def begun(champion: int = 1, evidence: float = 24.0) -> Comparison:
    """A comparison that three windows have nearly decided."""
    known = {"capital": (evidence / 4,) * 4, "judged_before": 0, "windows": 3, "blocks": 168}
    return Comparison(champion, variance=0.05, **known)


def found(request: GateInput, pipeline: Definition = PIPELINE) -> dict[str, Evidence]:
    return {e.check: e for e in judge(request, pipeline).evidence}


def passes(request: GateInput, pipeline: Definition = PIPELINE) -> bool:
    return worst(e.verdict for e in judge(request, pipeline).evidence).lets_through


def test_a_better_candidate_passes_and_the_arithmetic_reads_well() -> None:
    evidence = found(request(champion=0.3))
    assert list(evidence) == [
        "gate.evidence",
        "gate.overlap",
        "gate.improvement",
        "gate.this_window",
        "gate.slices",
        "gate.floor",
        "gate.calibration",
    ]
    assert {e.verdict for e in evidence.values()} == {Verdict.PASS}
    assert evidence["gate.evidence"].arithmetic == "2,000 rows >= 100, labelled share 1.00 >= 0.50"
    shown = evidence["gate.improvement"]
    assert shown.arithmetic.startswith("log loss 0.6")
    assert f"evidence {shown.measured:.3g} >= 32.9 over 4 windows" in shown.arithmetic
    gain = evidence["gate.this_window"]
    assert f"lower bound {gain.measured:.4f} > 0" in gain.arithmetic
    assert gain.details["lower"] < gain.details["point"] < gain.details["upper"]
    assert "all 3 groups no worse" in evidence["gate.slices"].arithmetic
    assert evidence["gate.floor"].arithmetic.endswith("floor 0.5")
    for e in evidence.values():
        assert Evidence.from_json(e.as_json()).verdict is e.verdict


def test_a_worse_candidate_is_blocked() -> None:
    evidence = found(request(skill=0.2, champion=1.0))
    assert evidence["gate.improvement"].verdict is Verdict.INCONCLUSIVE
    assert (evidence["gate.improvement"].measured or 99) < 24
    assert evidence["gate.this_window"].verdict is Verdict.BLOCK
    assert "< 0: worse" in evidence["gate.this_window"].arithmetic


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 2.0), st.integers(100, 800))
def test_the_champion_itself_never_passes(seed: int, skill: float, rows: int) -> None:
    equal = request(rows, seed, skill, skill)
    evidence = found(equal)
    assert evidence["gate.improvement"].verdict is Verdict.INCONCLUSIVE
    assert evidence["gate.this_window"].verdict is Verdict.INCONCLUSIVE
    assert evidence["gate.this_window"].arithmetic.endswith("these rows do not speak for it")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(200, 1500), st.floats(0.05, 0.5))
def test_a_candidate_worse_on_every_block_never_passes(seed: int, rows: int, noise: float) -> None:
    good = request(rows, seed)
    assert good.champion is not None
    worse = replace(good, candidate=np.clip(good.champion + noise * (0.5 - good.y), 0.01, 0.99))
    assert found(worse)["gate.this_window"].verdict is Verdict.BLOCK
    assert not passes(worse)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_order_of_rows_does_not_matter(seed: int, order: int) -> None:
    first = request(600, seed)
    shuffled = np.random.default_rng(order).permutation(600)
    assert first.champion is not None
    second = replace(
        first,
        y=first.y[shuffled],
        events=first.events[shuffled],
        candidate=first.candidate[shuffled],
        champion=first.champion[shuffled],
        slices={"kind": pa.chunked_array([pa.array(first.slices["kind"]).take(shuffled)])},
    )
    for a, b in zip(judge(first, PIPELINE).evidence, judge(second, PIPELINE).evidence, strict=True):
        assert (a.check, a.verdict, a.arithmetic) == (b.check, b.verdict, b.arithmetic)
        assert a.measured == pytest.approx(b.measured, abs=1e-12)


def null_rate(rows: int, days: int, blocks: int, shared: float) -> float:
    """How often a candidate that is no better on average has a lower bound above 0."""
    trials, hits = 500, 0
    for seed in range(trials):
        random = np.random.default_rng(seed)
        events = np.sort(random.integers(0, days, rows))
        day = random.normal(size=days)
        gains = shared * day[events] + random.normal(size=rows)
        hits += bounds(gains, draw(events, blocks, 300, (seed,)), 0.05).lower > 0
    return hits / trials


@pytest.mark.parametrize(
    ("rows", "days", "blocks", "shared"),
    [(600, 600, 56, 0.0), (600, 56, 56, 1.0), (300, 7, 56, 1.0)],
)
def test_a_model_that_is_no_better_passes_about_as_often_as_alpha_allows(
    rows: int, days: int, blocks: int, shared: float
) -> None:
    rate = null_rate(rows, days, blocks, shared)
    assert rate <= 0.05 + 3 * (0.05 * 0.95 / 500) ** 0.5
    assert rate >= 0.015


def test_bounds_cover_a_constant_exactly_and_blocks_keep_times_together() -> None:
    events = np.repeat(np.arange(10), 30)
    blocks = draw(events, 8, 200, (1,))
    assert blocks.count <= 8
    assert all(len(set(blocks.codes[events == t].tolist())) == 1 for t in range(10))
    assert bounds(np.full(300, 0.5), blocks, 0.05) == (0.5, 0.5, 0.5)
    assert draw(events[:0], 8, 200, (1,)).count == 0


# --- evidence, overlap, scores -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"rows": 60}, "rows 60 < 100"),
        ({"mature_rows": 5000}, "labelled share 0.40 < 0.50 of 5,000 mature rows"),
        ({"mature_rows": 0}, "labelled share 0.00"),
        ({"y": np.zeros(2000)}, "one label value only"),
        ({"events": np.repeat(np.arange(4), 500)}, "different event times 4 < 5"),
    ],
)
def test_too_little_evidence_is_inconclusive(change: dict[str, Any], lacks: str) -> None:
    rows = change.pop("rows", 2000)
    evidence = found(replace(request(rows), **change))
    assert evidence["gate.evidence"].verdict is Verdict.INCONCLUSIVE
    assert lacks in evidence["gate.evidence"].arithmetic
    assert set(evidence) == {"gate.evidence", "gate.overlap"}


def test_an_empty_holdout_is_inconclusive() -> None:
    nothing = np.zeros(0)
    empty = GateInput(nothing, nothing.astype(int), nothing, nothing, 0.5, 0, 0, 800)
    assert worst(e.verdict for e in judge(empty, PIPELINE).evidence) is Verdict.INCONCLUSIVE


def test_rows_that_a_model_has_seen_block() -> None:
    evidence = found(replace(request(champion=0.3), overlap=3))["gate.overlap"]
    assert (evidence.verdict, evidence.measured) == (Verdict.BLOCK, 3.0)
    assert "3 of the held-out keys were trained on, 0 allowed" in evidence.arithmetic
    late = found(replace(request(champion=0.3), champion_trained_before=801))["gate.overlap"]
    assert late.verdict is Verdict.BLOCK
    assert "trained up to tick 801, past the holdout's start 800" in late.arithmetic
    touching = replace(request(champion=0.3), champion_trained_before=800)
    assert found(touching)["gate.overlap"].verdict is Verdict.PASS


@pytest.mark.parametrize("who", ["candidate", "champion"])
def test_broken_scores_are_an_error_not_evidence(who: str) -> None:
    good = request(champion=0.3)
    scores = getattr(good, who).copy()
    scores[5] = np.nan
    evidence = found(replace(good, **{who: scores}))["gate.scores"]
    assert evidence.verdict is Verdict.ERROR
    assert evidence.arithmetic == f"{who}: 1 of 2,000 losses are not finite, 0 allowed"
    short = found(replace(good, **{who: scores[:10]}))["gate.scores"]
    assert short.arithmetic == f"{who}: scores of shape (10,), expected (2000,)"


def test_slices_that_were_not_given_are_an_error() -> None:
    evidence = found(replace(request(champion=0.3), slices={}))["gate.slices"]
    assert evidence.verdict is Verdict.ERROR


def test_without_declared_slices_there_is_no_such_check() -> None:
    assert "gate.slices" not in found(request(champion=0.3), definition())


# --- slices --------------------------------------------------------------------------------------


def with_harmed_slice(
    rows_of_it: int, harm: float, margin: float = 0.05
) -> tuple[GateInput, Definition]:
    """A candidate better overall, whose scores are off on one slice."""
    good = request(4000, champion=0.3)
    kind = np.array(["big"] * 4000, dtype=object)
    random = np.random.default_rng(1)
    chosen = random.choice(4000, rows_of_it, replace=False)
    kind[chosen] = "harmed"
    candidate = good.candidate.copy()
    candidate[chosen] = np.clip(candidate[chosen] + harm * (0.5 - good.y[chosen]), 0.02, 0.98)
    pipeline = definition(
        gate=f'slices = ["kind"]\nslice_min_rows = 100\nslice_margin = {margin}\n'
    )
    return replace(good, candidate=candidate, slices={"kind": kind.tolist()}), pipeline


def test_a_slice_that_is_shown_to_be_worse_blocks_a_candidate_that_is_better_overall() -> None:
    case, pipeline = with_harmed_slice(300, 0.3)
    evidence = found(case, pipeline)
    assert evidence["gate.improvement"].verdict is Verdict.PASS
    assert evidence["gate.slices"].verdict is Verdict.BLOCK
    assert "1 worse than the margin allows; worst kind=harmed (300 rows)" in (
        evidence["gate.slices"].arithmetic
    )
    assert evidence["gate.slices"].details["worse"][0]["slice"] == "harmed"


def test_a_slice_too_small_to_judge_is_pooled_until_it_can_be() -> None:
    case, pipeline = with_harmed_slice(40, 0.5)
    groups = found(case, pipeline)["gate.slices"].details["groups"]
    assert [(g["slice"], sorted(g["members"]), g["rows"]) for g in groups] == [
        ("(other)", ["big", "harmed"], 4000)
    ]


def test_a_pooled_slice_that_would_have_been_judged_alone_still_blocks_when_shown_to_be_worse() -> (
    None
):
    good, _ = with_harmed_slice(300, 0.6)
    kind = list(good.slices["kind"])
    kind[:20] = ["tiny"] * 20
    pipeline = definition(gate='slices = ["kind"]\nslice_min_rows = 290\nslice_margin = 0.05')
    evidence = found(replace(good, slices={"kind": kind}), pipeline)["gate.slices"]
    groups = {g["slice"]: g["members"] for g in evidence.details["groups"]}
    assert groups == {"(other)": ["harmed", "tiny"], "big": ["big"]}
    assert evidence.verdict is Verdict.BLOCK
    assert "harmed" in [g["slice"] for g in evidence.details["worse"]]


def test_a_slice_within_a_few_hours_is_pooled_for_its_rows_are_no_independent_evidence() -> None:
    good, pipeline = with_harmed_slice(300, 0.3)
    kind = np.where(good.events < 3, "burst", "rest").tolist()
    groups = found(replace(good, slices={"kind": kind}), pipeline)["gate.slices"].details["groups"]
    assert [g["members"] for g in groups] == [["burst", "rest"]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(50, 600))
def test_a_stricter_margin_never_makes_the_check_easier(seed: int, least: int) -> None:
    case = request(1200, seed, champion=0.8)

    def verdict(margin: float) -> Verdict:
        gate = f'slices = ["kind"]\nslice_min_rows = {least}\nslice_margin = {margin}'
        return found(case, definition(gate=gate))["gate.slices"].verdict

    severities = [verdict(m).severity for m in (0.2, 0.1, 0.05, 0.02, 0.01, 0.0)]
    assert severities == sorted(severities)


def test_every_row_is_in_a_judged_group_of_each_column() -> None:
    good = request(3000, champion=0.3)
    random = np.random.default_rng(2)
    values = [*(f"v{i}" for i in range(40)), None]
    share = random.dirichlet(np.ones(41) * 0.3)
    slices = {
        "kind": [values[i] for i in random.choice(41, 3000, p=share)],
        "x": random.integers(0, 5, 3000).astype(float),
    }
    pipeline = definition(gate='slices = ["kind", "x"]\nslice_min_rows = 200\nslice_margin = 0.2')
    groups = found(replace(good, slices=slices), pipeline)["gate.slices"].details["groups"]
    for column, values in slices.items():
        mine = [g for g in groups if g["column"] == column]
        assert sum(g["rows"] for g in mine) == 3000
        assert all(g["rows"] >= 200 for g in mine)
        shown = {"(missing)" if v is None else str(v).removesuffix(".0") for v in values}
        assert sorted(m for g in mine for m in g["members"]) == sorted(shown)


def test_groups_too_noisy_to_show_anything_are_inconclusive() -> None:
    noise = request(300, skill=1.0, champion=0.97)
    pipeline = definition(gate='slices = ["kind"]\nslice_min_rows = 50\nslice_margin = 0.0')
    evidence = found(noise, pipeline)["gate.slices"]
    assert evidence.verdict is Verdict.INCONCLUSIVE
    assert "not shown to be no worse" in evidence.arithmetic


SIZES = (1500, 1500, 1000, 1000, 300, 300, 120, 80)  # rows of eight slices
LOSS, SPREAD, BLOCKED = 0.5, 0.25, 40


def sliced(gains: tuple[float, ...], seed: int) -> Evidence:
    """Slices whose candidates gain these much a row; a slice may be 0.025 worse."""
    random = np.random.default_rng(seed)
    kind = np.repeat(np.arange(8), SIZES)
    order = random.permutation(len(kind))
    kind = kind[order]
    gain = np.array(gains)[kind] + SPREAD * random.normal(size=len(kind))
    blocks = draw(np.sort(random.integers(0, 400, len(kind))), BLOCKED, 300, (seed,))
    gate = definition(gate="slice_min_rows = 80\nslice_margin = 0.05").gate
    losses = np.full(len(kind), LOSS)
    return judge_slices({"kind": [f"k{k}" for k in kind]}, losses, gain, blocks, gate)


def share_of(verdict: Verdict, gains: tuple[float, ...], runs: int = 60) -> float:
    return sum(sliced(gains, seed).verdict is verdict for seed in range(runs)) / runs


def test_small_slices_do_not_hold_up_a_candidate_that_is_better_everywhere() -> None:
    assert share_of(Verdict.PASS, (0.02,) * 8) > 0.85
    found = sliced((0.02,) * 8, 1)
    company = {g["slice"]: g["in_company"] for g in found.details["groups"]}
    assert not company["k0"] and company["k7"]


def test_a_large_slice_at_the_margin_passes_in_no_more_than_alpha() -> None:
    passed = share_of(Verdict.PASS, (-0.025, *(0.02,) * 7), 100)
    assert passed <= 0.05 + 2 * (0.05 * 0.95 / 100) ** 0.5


def test_a_slice_of_middle_size_that_is_harmed_does_not_hide_in_company() -> None:
    assert share_of(Verdict.PASS, (*(0.02,) * 4, -0.1, *(0.02,) * 3)) < 0.05
    assert share_of(Verdict.BLOCK, (*(0.02,) * 4, -0.15, *(0.02,) * 3)) > 0.9


def test_where_no_slice_gains_company_does_not_help() -> None:
    assert share_of(Verdict.PASS, (-0.03,) * 8) == 0


def test_slices_whose_gain_hardly_varies_are_judged_by_themselves() -> None:
    # Two models that say the same of all rows differ by the class alone: nothing varies in a
    # slice that lacks the rare class, but for rounding.
    kind = np.repeat(["a", "b", "c", "d"], 500)
    gain = np.full(2000, 1e-4)
    gain[kind != "a"] += np.random.default_rng(4).normal(0, 0.1, 1500)
    gain[kind == "a"] += np.random.default_rng(5).normal(0, 1e-12, 500)
    blocks = draw(np.tile(np.arange(500), 4), BLOCKED, 300, (4,))
    gate = definition(gate="slice_min_rows = 80").gate
    evidence = judge_slices({"kind": kind}, np.full(2000, LOSS), gain, blocks, gate)
    assert not any(g["in_company"] for g in evidence.details["groups"])


# --- floor, calibration, first champion, other objectives ----------------------------------------


def test_the_floor_is_held_by_the_lower_bound() -> None:
    case = request(champion=0.3)
    value = found(case)["gate.floor"].details["value"]
    below = found(case, definition(floor=value - 0.001))["gate.floor"]
    above = found(case, definition(floor=value + 0.001))["gate.floor"]
    assert (below.verdict, above.verdict) == (Verdict.INCONCLUSIVE, Verdict.BLOCK)
    assert "< floor" in below.arithmetic


def test_a_candidate_may_not_be_worse_calibrated_than_the_champion_allows() -> None:
    case = request(champion=0.3)
    shifted = replace(case, candidate=np.clip(case.candidate + 0.15, 0, 1))
    evidence = found(shifted)["gate.calibration"]
    assert evidence.verdict is Verdict.BLOCK
    assert "the maximum" in evidence.arithmetic or "the champion's + 0.02" in evidence.arithmetic
    nearer = replace(case, champion=case.candidate, candidate=np.clip(case.candidate + 0.09, 0, 1))
    assert found(nearer)["gate.calibration"].arithmetic.endswith(
        "(the champion's + 0.02): shown at level 0.05"
    )
    assert found(nearer)["gate.calibration"].verdict is Verdict.BLOCK


def test_worse_calibration_passes_where_a_much_better_candidate_pays_for_it_twice() -> None:
    """A first champion that was well calibrated by chance must not hold off all that come after."""
    case = request(champion=0.0)  # knows nothing, and is calibrated
    unsure = replace(case, candidate=logistic(0.5 * np.log(case.candidate / (1 - case.candidate))))
    evidence = found(unsure)["gate.calibration"]
    assert evidence.verdict is Verdict.WARN
    assert "but the improvement left after that is more: at least" in evidence.arithmetic
    little = replace(
        unsure, champion=logistic(0.45 * np.log(case.candidate / (1 - case.candidate)))
    )
    shifted = np.clip(little.candidate + 0.06, 0, 1)
    assert found(replace(little, candidate=shifted))["gate.calibration"].verdict is Verdict.BLOCK
    lower = {"max_calibration_error": float(evidence.measured or 0) - 0.001}
    strict = PIPELINE.model_copy(update={"gate": PIPELINE.gate.model_copy(update=lower)})
    above = found(unsure, strict)
    assert above["gate.calibration"].verdict is Verdict.BLOCK, "the maximum holds in any case"


def test_a_badly_calibrated_champion_does_not_hold_off_who_is_better_calibrated() -> None:
    """Where the level of a target rises all models lag behind, the older one the most."""
    random = np.random.default_rng(2)
    y = 3 + random.normal(size=2000)
    lags, older = y - 1 + 0.1 * random.normal(size=2000), y - 3 + 0.1 * random.normal(size=2000)
    case = replace(request(), y=y, candidate=lags, champion=older, baseline=0.0)
    label = PIPELINE.label.model_copy(update={"objective": "regression", "classes": ()})
    numbers = PIPELINE.model_copy(update={"label": label})
    evidence = found(case, numbers)["gate.calibration"]
    assert evidence.verdict is Verdict.WARN
    assert "the champion's, itself above the maximum of" in evidence.arithmetic
    assert found(case, numbers)["gate.this_window"].verdict is Verdict.PASS
    worse = replace(case, candidate=older - 0.5)
    assert found(worse, numbers)["gate.calibration"].verdict is Verdict.BLOCK
    first = replace(case, champion=None)
    assert found(first, numbers)["gate.calibration"].verdict is Verdict.BLOCK


def test_the_same_in_units_of_squared_error() -> None:
    random = np.random.default_rng(1)
    y = random.normal(size=2000)
    noisy = y + random.normal(size=2000)
    case = replace(request(), y=y, candidate=y + 0.1, champion=noisy, baseline=0.0)
    numbers = PIPELINE.model_copy(
        update={
            "label": PIPELINE.label.model_copy(update={"objective": "regression", "classes": ()})
        }
    )
    assert found(case, numbers)["gate.calibration"].verdict is Verdict.WARN
    no_better = replace(case, champion=y + 0.05)
    assert found(no_better, numbers)["gate.calibration"].verdict is Verdict.BLOCK


def test_the_calibration_check_keeps_the_reliability_diagram_of_both_models() -> None:
    details = found(request(champion=0.3))["gate.calibration"].as_json()["details"]
    assert list(details) == ["candidate", "champion"]
    for bins in details.values():
        assert len(bins) == 15
        assert sum(rows for *_, rows in bins) == 2000
        assert all(0 <= value <= 1 for score, outcome, _ in bins for value in (score, outcome))
    first = replace(request(), champion=None, champion_trained_before=None)
    assert list(found(first)["gate.calibration"].details) == ["candidate"]


def test_the_first_champion_must_beat_a_constant() -> None:
    first = replace(request(), champion=None, champion_trained_before=None)
    evidence = found(first)
    assert "gate.improvement" not in evidence and "gate.slices" not in evidence
    assert evidence["gate.first_champion"].verdict is Verdict.PASS
    assert "no champion yet, so against a constant score" in (
        evidence["gate.first_champion"].arithmetic
    )
    assert passes(first)
    constant = replace(first, candidate=np.full(2000, float(first.baseline)))
    assert found(constant)["gate.first_champion"].verdict is Verdict.INCONCLUSIVE
    inverted = replace(first, candidate=1 - first.candidate)
    assert found(inverted)["gate.first_champion"].verdict is Verdict.BLOCK


@pytest.mark.parametrize("objective", ["multiclass", "regression"])
def test_other_objectives_are_judged_alike(objective: str) -> None:
    random = np.random.default_rng(0)
    rows, pipeline = 1500, definition(objective, floor=0.3)
    if objective == "regression":
        y = random.normal(size=rows)
        better, worse = y + 0.3 * random.normal(size=rows), y + 0.6 * random.normal(size=rows)
        baseline: Any = 0.0
    else:
        y = random.integers(0, 3, rows).astype(float)
        sure = np.eye(3)[y.astype(int)]
        better, worse = 0.7 * sure + 0.1, 0.4 * sure + 0.2
        wrong = random.random(rows) < 0.2
        better[wrong] = worse[wrong] = 1 / 3
        baseline = np.full(3, 1 / 3)
    case = GateInput(
        y, np.arange(rows), better, worse, baseline, rows, 0, 800, 700, comparison=begun()
    )
    evidence = found(case, pipeline)
    assert evidence["gate.improvement"].verdict is Verdict.PASS
    assert evidence["gate.floor"].verdict is Verdict.PASS
    first = found(replace(case, champion=None), pipeline)
    assert first["gate.first_champion"].verdict is Verdict.PASS
    swapped = found(replace(case, candidate=worse, champion=better), pipeline)
    assert swapped["gate.this_window"].verdict is Verdict.BLOCK
    name = "squared error" if objective == "regression" else "log loss"
    assert evidence["gate.improvement"].arithmetic.startswith(name)


def test_a_target_in_billions_gives_sentences_that_can_be_read() -> None:
    rng, rows, unit = np.random.default_rng(3), 2000, 1e9
    y = unit * rng.normal(size=rows)
    label = PIPELINE.label.model_copy(update={"objective": "regression", "classes": ()})
    pipeline = PIPELINE.model_copy(update={"label": label})
    scores = [y + unit * noise * rng.normal(size=rows) for noise in (0.5, 0.8)]
    case = GateInput(y, np.arange(rows), *scores, 0.0, rows, 0, 800, 700, comparison=begun())
    for one in (case, replace(case, champion=None)):
        assert all(len(number) < 12 for e in found(one, pipeline).values()
                   for number in re.findall(r"[\d.]+", e.arithmetic))  # fmt: skip
