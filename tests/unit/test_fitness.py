"""Fit to serve: each check where it blocks and where it passes, and how often it may be wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.bundle import MODEL, Bundle, pack
from ratchet.contracts.definition import Definition, parse
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import MemberLineage
from ratchet.contracts.score import predict, predict_without
from ratchet.errors import DefinitionError
from ratchet.gate import (
    FitnessInput,
    MembershipInput,
    Side,
    jittered,
    judge_fitness,
    judge_membership,
    visits_of,
)
from ratchet.gate.fitness import visits
from ratchet.gate.membership import look
from tests import streams
from tests.small_bundle import CATEGORIES, bundle, lineage
from tests.small_bundle import rows as sample

ROWS = 400
SEALED = "\n[sealed]\n"


def definition(text: str = "", base: str = streams.PIPELINE + SEALED) -> Definition:
    return parse(f"{base}\n[fitness]\n{text}")


PLAIN = definition()
RANDOM = np.random.default_rng(5)
TRUTH = (RANDOM.random(ROWS) < 0.5).astype(float)
GOOD = np.where(TRUTH > 0.5, 0.7, 0.3)


def request(**changes: Any) -> FitnessInput:
    side = Side(visits=600, scores=GOOD, without={"x": GOOD, "c": GOOD}, jittered=GOOD + 0.01)
    sizes = {"model.ubj": 3 << 20, "manifest.json": 1 << 20}
    return replace(FitnessInput(TRUTH, sizes, side, side), **changes)


def candidate(**changes: Any) -> FitnessInput:
    """A request whose candidate differs from its champion."""
    base = request()
    return replace(base, candidate=replace(base.candidate, **changes))


def asked(given: FitnessInput, of: Definition = PLAIN) -> dict[str, Evidence]:
    return {e.check: e for e in judge_fitness(given, of)}


def test_a_fit_candidate_passes_every_check() -> None:
    found = asked(request())
    assert list(found) == ["gate.size", "gate.latency", "gate.missing", "gate.jitter"]
    assert {e.verdict for e in found.values()} == {Verdict.PASS}


def test_nothing_is_asked_where_nothing_is_declared() -> None:
    plain = parse(streams.PIPELINE + SEALED)
    rows = np.zeros(200)
    assert judge_fitness(request(), plain) == []
    assert judge_membership(MembershipInput(rows, rows, rows, rows), plain) == []
    unsealed = definition(base=streams.PIPELINE)
    assert judge_membership(MembershipInput(rows, rows, rows, rows), unsealed) == []


def test_membership_needs_sealed_rows() -> None:
    with pytest.raises(DefinitionError, match=r"fitness.max_membership: only \[sealed\] rows"):
        definition("max_membership = 0.1", streams.PIPELINE)


# --- size and latency ----------------------------------------------------------------------------


def test_the_size_is_of_all_files_to_the_byte() -> None:
    exact = asked(request(), definition("max_bundle_mib = 4"))["gate.size"]
    assert exact.verdict is Verdict.PASS
    sizes = {"model.ubj": 3 << 20, "manifest.json": (1 << 20) + 1}
    over = asked(request(sizes=sizes), definition("max_bundle_mib = 4"))["gate.size"]
    assert over.verdict is Verdict.BLOCK
    assert "bundle of 4,194,305 bytes = 4 MiB > 4 MiB" in over.arithmetic
    assert "largest file is model.ubj with 3,145,728" in over.arithmetic


@pytest.mark.parametrize(
    ("work", "champion", "limits", "verdict", "said"),
    [
        (6000, True, "", Verdict.PASS, "10 times the champion's 600 <= 10"),
        (6001, True, "", Verdict.BLOCK, "10 times the champion's 600 > 10"),
        (10**9, False, "", Verdict.PASS, "no champion and no budget"),
        (600, True, "max_row_us = 6", Verdict.PASS, "visits a second 6 us <= 6 us"),
        (600, False, "max_row_us = 5.9", Verdict.BLOCK, "visits a second 6 us > 5.9 us"),
    ],
)
def test_latency_is_work_against_the_champions_and_a_budget(
    work: int, champion: bool, limits: str, verdict: Verdict, said: str
) -> None:
    given = candidate(visits=work)
    given = given if champion else replace(given, champion=None)
    found = asked(given, definition(limits))["gate.latency"]
    assert found.verdict is verdict
    assert said in found.arithmetic


def test_work_is_of_every_tree_of_every_class_and_member() -> None:
    recipe = {"rounds": 100, "max_depth": 6}
    assert visits(recipe, classes=2) == visits(recipe, classes=0) == 600
    assert visits(recipe, classes=5) == 3000
    alone = replace(lineage(), recipe=recipe)
    assert visits_of(alone, 2) == 600
    other = {"rounds": 25, "max_depth": 3}
    parts = [MemberLineage("m", 0.5, r, 1, None, 1, 1, "") for r in (recipe, other)]
    assert visits_of(replace(alone, members=tuple(parts)), 2) == 675


# --- missing and jitter --------------------------------------------------------------------------


def test_a_candidate_that_is_lost_without_a_feature_is_blocked() -> None:
    lost = np.where(TRUTH > 0.5, 0.4, 0.6)
    found = asked(candidate(without={"x": GOOD, "c": lost}))["gate.missing"]
    assert found.verdict is Verdict.BLOCK
    assert "each of 2 features taken away: 1 leave" in found.arithmetic
    assert "most without c: log loss 0.3567 -> 0.9163" in found.arithmetic
    assert found.details["worse"] == ["c"]
    same = replace(request().candidate, without={"x": GOOD, "c": lost})
    both = asked(request(candidate=same, champion=same))["gate.missing"]
    assert both.verdict is Verdict.PASS  # the champion is lost as well


def test_what_could_be_chance_is_not_blocked() -> None:
    few = RANDOM.random(ROWS) < 0.02
    unlucky = np.where(few, 1 - GOOD, GOOD)
    found = asked(candidate(without={"x": unlucky, "c": GOOD}))["gate.missing"]
    assert found.verdict is Verdict.PASS


@pytest.mark.parametrize("champion", [True, False])
def test_scores_that_are_none_are_blocked(champion: bool) -> None:
    for wrong in (np.full(ROWS, np.nan), GOOD + 0.5):
        given = candidate(without={"x": wrong, "c": GOOD}, jittered=wrong)
        given = given if champion else replace(given, champion=None)
        found = asked(given)
        assert found["gate.missing"].verdict is found["gate.jitter"].verdict is Verdict.BLOCK
        assert "without x scores are not finite or out of range" in found["gate.missing"].arithmetic


def test_a_first_champion_needs_scores_no_more() -> None:
    lost = 1 - GOOD
    given = replace(candidate(without={"x": lost, "c": lost}), champion=None)
    assert asked(given)["gate.missing"].verdict is Verdict.PASS


def test_scores_that_tremble_are_blocked() -> None:
    shaken = np.where(np.arange(ROWS) % 50 == 0, 1 - GOOD, GOOD)  # 2 rows of 100 by 0.4
    found = asked(candidate(jittered=shaken))["gate.jitter"]
    assert found.verdict is Verdict.BLOCK
    assert "by more than 0.4000 > 0.1100 (the champion's + 0.1)" in found.arithmetic
    first = replace(candidate(jittered=shaken), champion=None)
    assert asked(first)["gate.jitter"].verdict is Verdict.PASS
    found = asked(first, definition("max_jitter_change = 0.3"))["gate.jitter"]
    assert found.verdict is Verdict.BLOCK
    assert "0.4000 > 0.3000 (the maximum)" in found.arithmetic
    rare = np.where(np.arange(ROWS) % 200 == 0, 1 - GOOD, GOOD)
    assert asked(candidate(jittered=rare))["gate.jitter"].verdict is Verdict.PASS
    assert "gate.jitter" not in asked(candidate(jittered=None))


def test_movement_of_several_classes_and_of_a_regression() -> None:
    text = streams.PIPELINE + SEALED
    three = text.replace('"binary"\nclasses = [0, 1]', '"multiclass"\nclasses = [0, 1, 2]')
    y = np.arange(ROWS) % 3.0
    scores, moved = np.tile([0.6, 0.3, 0.1], (ROWS, 1)), np.tile([0.3, 0.6, 0.1], (ROWS, 1))
    side = Side(1, scores, {"x": scores}, moved)
    given = FitnessInput(y, {"m": 1}, side, None)
    assert asked(given, definition(base=three))["gate.jitter"].measured == pytest.approx(0.3)
    value = text.replace('objective = "binary"\nclasses = [0, 1]', 'objective = "regression"')
    y = RANDOM.normal(size=ROWS) * 50
    side = Side(1, y, {"x": y}, y + 5)
    given = FitnessInput(y, {"m": 1}, side, side)
    found = asked(given, definition(base=value))
    assert found["gate.jitter"].measured == pytest.approx(5 / y.std())
    assert found["gate.missing"].verdict is Verdict.PASS


def test_numbers_move_a_little_and_nothing_else_does() -> None:
    rows = pa.table({"a": [1, 5, None, 9] * 50, "b": ["u", "v"] * 100, "c": [2.0] * 200})
    kinds = {"a": "number", "b": "category", "c": "number"}
    moved, again = (jittered(rows, kinds, 0.01, seed=3) for _ in range(2))
    assert moved is not None
    assert moved.equals(again)
    assert moved["b"].equals(rows["b"])
    assert moved["a"].null_count == 50
    assert moved["c"].to_pylist() == [2.0] * 200  # a constant has no spread to move by
    steps = moved["a"].to_numpy() - rows["a"].to_numpy()
    assert np.nanstd(steps) == pytest.approx(0.01 * np.nanstd(rows["a"].to_numpy()), rel=0.25)
    assert jittered(rows, {"b": "category"}, 0.01, seed=3) is None


def mixture() -> Bundle:
    """Two boosters, of which one knows fewer categories."""
    known = {"one": CATEGORIES, "two": {"carrier": ("AA", "UA")}}
    parts = [MemberLineage(n, 0.5, {}, 1, None, 1, 1, "d") for n in known]
    models = {f"member-{n}.ubj": bundle(i).models[MODEL] for i, n in enumerate(known)}
    made = replace(lineage(), members=tuple(parts))
    manifest = replace(bundle().manifest, lineage=made, files={}, member_categories=known)
    return pack(manifest, models, bundle().reference)


@pytest.mark.parametrize("mixed", [False, True])
def test_scores_without_a_feature_are_those_of_rows_that_lack_it(mixed: bool) -> None:
    made = mixture() if mixed else bundle()
    rows = sample(60)
    found = predict_without(made, rows)
    assert list(found) == list(made.manifest.features)
    for name, scores in found.items():
        place = rows.column_names.index(name)
        nothing = pa.nulls(60, rows.schema.field(name).type)
        lacking = rows.set_column(place, rows.schema.field(name), nothing)
        assert np.array_equal(scores, predict(made, lacking))
        assert not np.array_equal(scores, predict(made, rows))


# --- membership ----------------------------------------------------------------------------------


def members(trained: Any, unseen: Any, share: float = 0.0) -> MembershipInput:
    """Losses, the first ``share`` of each of the positive class."""
    sides = [np.asarray(part, dtype=float) for part in (trained, unseen)]
    labels = [(np.arange(len(part)) < share * len(part)).astype(float) for part in sides]
    return MembershipInput(sides[0], labels[0], sides[1], labels[1])


def test_a_model_that_knows_its_rows_by_heart_is_blocked() -> None:
    trained, unseen = RANDOM.exponential(0.1, 2000), RANDOM.exponential(1.0, 500)
    (found,) = judge_membership(members(trained, unseen), PLAIN)
    assert found.verdict is Verdict.BLOCK
    assert "on all rows (1,000 trained, 250 sealed)" in found.arithmetic
    same = RANDOM.exponential(1.0, 2000)
    (found,) = judge_membership(members(same, unseen), PLAIN)
    assert found.verdict is Verdict.PASS


def test_a_leak_of_a_rare_class_alone_is_found() -> None:
    trained, unseen = RANDOM.exponential(1.0, 4000), RANDOM.exponential(1.0, 2000)
    trained[:200] /= 100
    (found,) = judge_membership(members(trained, unseen, share=0.05), PLAIN)
    assert found.verdict is Verdict.BLOCK
    assert "on y=1 (100 trained, 50 sealed)" in found.arithmetic
    assert found.details["looks"]["all rows"]["lower"] < 0.2


def test_too_few_rows_never_pass() -> None:
    for trained, unseen in ((99, 500), (500, 99), (0, 0)):
        (found,) = judge_membership(members(np.ones(trained), np.ones(unseen)), PLAIN)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert f"{unseen:,} sealed rows and {trained:,} trained ones" in found.arithmetic


@settings(deadline=None, max_examples=60)
@given(
    st.integers(100, 400), st.integers(100, 400), st.integers(0, 2**32), st.sampled_from([1, 5, 50])
)
def test_no_bound_is_above_what_it_bounds_nor_outside_its_range(
    ours: int, others: int, seed: int, kinds: int
) -> None:
    random = np.random.default_rng(seed)
    trained, unseen = random.integers(0, kinds, ours), random.integers(0, kinds, others)
    found = look(trained, unseen, 0.05)
    assert -1 <= found.advantage <= 1
    assert found.lower < found.advantage
    assert found.trained + found.unseen == ours // 2 + others // 2
    assert look(trained, unseen, 0.01).lower < found.lower


@pytest.mark.parametrize("share", [0.0, 0.1])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_exchangeable_rows_are_accused_at_most_alpha_of_the_time(
    alpha: float, share: float
) -> None:
    """At a limit of 0, which is the hardest; losses with ties and a long tail."""
    strict = definition(f"max_membership = 0\nalpha = {alpha}")
    random, lives, wrong = np.random.default_rng(99), 1000, 0
    for _ in range(lives):
        losses = np.round(random.lognormal(size=500), 1)
        request = members(losses[:300], losses[300:], share)
        wrong += judge_membership(request, strict)[0].verdict is Verdict.BLOCK
    assert wrong / lives <= alpha
    assert wrong > 0 or alpha < 0.3  # the bound is not so wide that it never speaks


def test_the_bound_holds_where_there_is_something_to_find() -> None:
    """The advantage of each threshold that was chosen is known: F(t) - G(t) of two exponentials."""
    random, above, lives = np.random.default_rng(7), 0, 1000
    for _ in range(lives):
        found = look(random.exponential(0.5, 400), random.exponential(1.0, 300), 0.2)
        t = found.threshold
        above += found.lower > np.exp(-t) - np.exp(-t / 0.5)
    assert 0 < above / lives <= 0.2
