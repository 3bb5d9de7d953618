"""Mutations race in the shadow: inside their bounds, within their budget, and seldom by mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.lineage import digest_of
from ratchet.contracts.recipes import Member, Recipe
from ratchet.contracts.search import Search, shadow_name
from ratchet.self_train.mutate import mutated, neighbours, opposite, propose
from ratchet.self_train.search import entered, failed, judged, level, planned, scored
from ratchet.self_train.search_state import State, Trial, in_force

START = Recipe(name="all")
SEARCH = Search(trials=2, budget=2.0)
BLOCKS = 14

recipes = st.builds(
    Recipe,
    name=st.just("all"),
    history=st.none() | st.integers(1, 60),
    half_life=st.none() | st.floats(0.5, 60),
    rounds=st.integers(1, 400),
    max_depth=st.integers(1, 16),
    learning_rate=st.floats(0.005, 1),
    min_child_weight=st.floats(0, 400),
    subsample=st.floats(0.1, 1),
    colsample_bytree=st.floats(0.1, 1),
    reg_lambda=st.floats(0, 400),
)


@given(recipes, st.integers(1, 80))
def test_every_step_stays_inside_the_bounds_and_changes_something(
    start: Recipe, known: int
) -> None:
    for step, values in neighbours(start, SEARCH, known).items():
        found = mutated(start, values)  # validated as a declared recipe is
        assert found != start, step
        assert found.max_depth <= max(SEARCH.max_depth, start.max_depth)
        assert found.rounds <= max(SEARCH.max_rounds, start.rounds)
        assert found.history is None or found.history < max(known, start.history or 0) * 2
        assert found.name == start.name


@given(recipes, st.integers(0, 2**31 - 1), st.integers(-5, 500))
def test_the_same_question_has_the_same_answer(start: Recipe, seed: int, window: int) -> None:
    asked: dict[str, Any] = {"seed": seed, "window": window, "known": 12}
    assert propose(start, SEARCH, **asked) == propose(start, SEARCH, **asked)


def test_which_step_comes_first_differs_by_window_and_by_seed() -> None:
    first = {
        propose(START, SEARCH, seed=s, window=w, known=12)[0] for s in (1, 2) for w in range(20)
    }
    assert len(first) > 8
    assert any("," in step for step in first)
    assert any("," not in step for step in first)


def test_what_was_tried_is_not_tried_again_and_what_is_favoured_comes_first() -> None:
    asked: dict[str, Any] = {"seed": 1, "window": 5, "known": 12}
    every = set(neighbours(START, SEARCH, 12))
    assert propose(START, SEARCH, **asked, tried=every) is None
    left = propose(START, SEARCH, **asked, tried=every - {"subsample-"})
    assert left is not None
    assert (left[0], left[1].subsample) == ("subsample-", 0.8)
    assert propose(START, SEARCH, **asked, favoured=("max_depth-",))[0] == "max_depth-"
    assert opposite("max_depth-") == "max_depth+"


def test_a_member_stays_a_member() -> None:
    member = Member(name="anchor", every=8)
    _, found = propose(member, SEARCH, seed=1, window=1, known=9)
    assert isinstance(found, Member)
    assert found.every == 8


def drive(
    state: State,
    window: int,
    gain: float,
    search: Search = SEARCH,
    start: Recipe = START,
    cost: float = 1.0,
) -> tuple[State, list[Trial], list[str]]:
    """One cycle in which every mutation is better by ``gain`` standard deviations of a block."""
    recipe = in_force(state, start, window)
    state, due = planned(
        entered(state, [recipe], 1.0, search),
        recipe,
        search,
        lambda _: cost,
        seed=1,
        window=window,
        known=window,
    )
    events = window * 100 + np.arange(BLOCKS, dtype=np.int64)
    random = np.random.default_rng([3, window])
    done = [
        scored(t, state, window, events, random.normal(gain, 1, BLOCKS), np.ones(BLOCKS), BLOCKS)
        for t in due
    ]
    state, said = judged(state, done, [start], search, window, events)
    return state, due, said


def test_one_that_is_better_is_adopted_from_the_next_window_on() -> None:
    state = State()
    for window in range(40):
        before = in_force(state, START, window)
        state, _, said = drive(state, window, 1.0)
        if state.changes:
            break
    (change,) = state.changes
    assert (change.name, change.window) == ("all", window)
    assert in_force(state, START, window) == before == START
    assert in_force(state, START, window + 1) == Recipe.model_validate(change.recipe)
    assert said[0] == (
        f"{shadow_name('all', change.recipe)} adopted from the next cycle on: {change.because}"
    )
    assert "evidence" in change.because
    assert not state.trials  # the others raced against what is no longer in force
    assert set(state.tried["all"]) == {opposite(s) for s in change.step.split(",")}
    assert state.favoured["all"] == tuple(change.step.split(","))
    following, due, _ = drive(state, window + 1, 0.0)
    assert due[0].step in change.step.split(",")
    assert following.trials[0].base == change.recipe


def test_a_recipe_that_is_declared_anew_is_trained_as_declared() -> None:
    state = State()
    for window in range(40):
        state, _, _ = drive(state, window, 1.0)
    assert in_force(state, START, 40) != START
    other = Recipe(name="all", reg_lambda=2.0)
    assert in_force(state, other, 40) == other
    assert in_force(state, Recipe(name="recent"), 40).max_depth == 6


def test_what_is_clearly_worse_leaves_after_two_windows() -> None:
    state, _, _ = drive(State(), 0, -1.5)
    assert len(state.trials) == 2
    steps = [t.step for t in state.trials]
    state, _, said = drive(state, 1, -1.5)
    assert not state.trials
    assert all("dropped, clearly worse" in one for one in said)
    singles = [s for s in steps if "," not in s and opposite(s) in neighbours(START, SEARCH, 2)]
    assert set(singles) <= {opposite(s) for s in state.favoured["all"]}


def test_what_shows_nothing_makes_room() -> None:
    state = State()
    for window in range(30):
        state, _, _ = drive(state, window, 0.0)
    assert state.started > 8
    assert not state.changes
    assert len(state.trials) <= 2


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.05, 4),
    st.integers(1, 8),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=12),
)
def test_trials_never_cost_more_than_their_share(
    budget: float, trials: int, cycles: list[tuple[float, float]]
) -> None:
    search, state = Search(budget=budget, trials=trials), State()
    earned = spent = 0.0
    for window, (work, cost) in enumerate(cycles):
        state, due = planned(
            entered(state, [START], work, search),
            START,
            search,
            lambda _, cost=cost: cost,
            seed=1,
            window=window,
            known=9,
        )
        earned, spent = earned + work, spent + cost * len(due)
        assert len(state.trials) <= trials
        assert spent <= budget * earned * (1 + 1e-9) + 1e-6
        assert state.purse >= -1e-9
        assert State.from_json(json.loads(json.dumps(state.as_json()))) == state


def test_the_state_survives_json_with_everything_in_it() -> None:
    state = State()
    for window in range(12):
        state, _, _ = drive(state, window, 0.6 if window < 8 else -0.5)
        again = State.from_json(json.loads(json.dumps(state.as_json())))
        assert again == state
        assert digest_of(again.as_json()) == digest_of(state.as_json())
        assert drive(again, window + 1, 0.1)[0] == drive(state, window + 1, 0.1)[0]
    assert state.changes
    assert State.from_json({**state.as_json(), "of_a_later_release": 1}) == state


def test_rows_that_chose_a_mutation_do_not_speak_for_it() -> None:
    state, _, _ = drive(State(), 5, 1.0)
    events = 500 + np.arange(BLOCKS, dtype=np.int64)  # the same window once more
    assert state.judged_before == 500 + BLOCKS
    seen = state.trials[0]
    gains = np.ones(BLOCKS)
    assert scored(seen, state, 6, events, gains, gains, BLOCKS) == seen
    fresh = scored(seen, state, 6, events + 7, gains, gains, BLOCKS)
    assert len(fresh.looks) == len(seen.looks) + 1


def test_a_trial_that_cannot_be_trained_leaves() -> None:
    state, due, _ = drive(State(), 5, 0.0)
    left = failed(state, due[0])
    assert [t.number for t in left.trials] == [2]
    assert due[0].step in left.tried["all"]


def test_trials_end_when_their_parent_is_no_longer_in_force() -> None:
    state, _, _ = drive(State(), 5, 0.0)
    assert len(entered(state, [START], 1.0, SEARCH).trials) == 2
    assert entered(state, [START.model_copy(update={"rounds": 50})], 1.0, SEARCH).trials == ()


def test_levels_sum_to_alpha_and_grow_with_each_change() -> None:
    assert sum(level(i, 0, 0.1) for i in range(1, 50_000)) < 0.1
    assert sum(level(i, 0, 0.1) for i in range(1, 50_000)) > 0.096
    assert level(7, 2, 0.1) == pytest.approx(3 * level(7, 0, 0.1))


def test_where_every_step_was_tried_it_begins_anew() -> None:
    every = tuple(neighbours(START, SEARCH, 9))
    state = State(tried={"all": every})
    found, due, _ = drive(state, 9, 0.0)
    assert len(due) == 2
    assert due[0].step != due[1].step
    assert found.started == 2


def test_a_mutation_is_not_scored_too_seldom() -> None:
    search = replace_windows(5)
    state = State()
    for window in range(5):
        assert not state.changes
        state, _, _ = drive(state, window, 3.0, search)
    assert state.changes


def replace_windows(windows: int) -> Search:
    return SEARCH.model_copy(update={"windows": windows})


def test_the_trial_shows_its_arithmetic() -> None:
    trial = Trial(1, "all", "max_depth-", START.model_dump(), {}, 7, level=0.02)
    recipe = START.model_copy(update={"max_depth": 4, "history": 6}).model_dump()
    trial = replace(trial, recipe=recipe, looks=((7, 0.01, 0.003), (8, 0.02, 0.004)))
    assert trial.shown == "history none -> 6, max_depth 6 -> 4"
    assert trial.so_far == "loss smaller by 0.0150 +- 0.0025 over 2 windows, evidence 1 < 50"
