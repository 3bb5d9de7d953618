"""What the halves of the newest window say of a member that learns it alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ratchet.contracts.lineage import Decision, Lineage, MemberLineage
from ratchet.contracts.recipes import Member
from ratchet.self_train import (
    BOLDNESS,
    SHARPNESS,
    TrainingSet,
    foreseen,
    halves_loss,
    surprised,
    training_set,
)
from ratchet.self_train.level import SHARES
from tasks.members import level, sharpen, temper, weigh
from tests.learning import definition, labels_of, prepare, stream

FRESH = Member(name="fresh", history=1, rounds=12, max_depth=3)
# Of a guess that knows the shares of the classes, or the mean, and nothing else.
IGNORANT = {"binary": 0.69, "multiclass": 1.1, "regression": 6.0}


def learned(objective: str = "binary", rows: int = 4000) -> TrainingSet:
    table, y = stream(rows=rows, objective=objective)
    pipeline = definition(objective)
    _, _, history = prepare(pipeline, table, labels_of(table, y), 1000)
    return training_set(history, pipeline, FRESH)


@pytest.mark.parametrize("objective", IGNORANT)
def test_halves_lose_less_than_who_knows_nothing(objective: str) -> None:
    found = halves_loss(learned(objective), definition(objective), FRESH)
    assert found is not None
    assert 0 < found.levelled <= found.mean < 0.95 * IGNORANT[objective]


def test_a_window_is_never_scored_by_what_learned_it() -> None:
    """Labels that nothing foretells are not foretold, however deep the trees."""
    training = learned()
    noise = np.random.default_rng(1).integers(0, 2, training.rows).astype(np.float32)
    deep = FRESH.model_copy(update={"max_depth": 12, "rounds": 60})
    found = halves_loss(replace(training, labels=noise), definition(), deep)
    assert found is not None and found.mean > np.log(2)


def test_each_half_is_scored_by_the_other_in_time() -> None:
    """A rule that turns in the middle: neither half knows the other's."""
    training = learned()
    turned = training.labels.copy()
    turned[training.rows // 2 :] = 1 - turned[training.rows // 2 :]
    found = halves_loss(replace(training, labels=turned), definition(), FRESH)
    rests = halves_loss(training, definition(), FRESH)
    assert found is not None and rests is not None
    assert found.mean > 1.5 * rests.mean and found.levelled > 1.5 * rests.levelled


@pytest.mark.parametrize(
    "changes", [{"history": 2}, {"history": None}, {"every": 2}, {"teacher": "anchor"}]
)
def test_only_who_learns_the_newest_window_alone_is_asked(changes: dict[str, object]) -> None:
    member = FRESH.model_copy(update=changes)
    assert halves_loss(learned(), definition(), member) is None


def test_halves_that_cannot_be_learned_say_nothing() -> None:
    training = learned()
    one = np.zeros_like(training.labels)
    one[: training.rows // 4] = 1  # the later half has one class
    assert halves_loss(replace(training, labels=one), definition(), FRESH) is None
    few = definition(train="max_categories = 8\n").model_copy(
        update={"train": definition().train.model_copy(update={"min_rows": 2 * training.rows})}
    )
    assert halves_loss(training, few, FRESH) is None


def test_the_smaller_of_both_counts_and_strangers_do_not() -> None:
    newest = {"old": 0.9, "fresh": 0.8}
    assert foreseen(newest, {"fresh": 0.3}) == {"old": 0.9, "fresh": 0.3}
    assert foreseen(newest, {"fresh": 0.85, "gone": 0.1}) == newest
    assert foreseen(newest, {}) == newest


def decision(window: int, losses: dict[str, float], train_before: int) -> Decision:
    lineage = Lineage(
        "toy", str(window), 100 * window, {}, 1, 1, 0, 0, None, train_before, 5, "", "d", "", None
    )  # fmt: skip
    plain = Decision("toy", str(window), window, 100 * window, f"toy/{window}/d", "d", "held", ())
    return replace(plain, lineage=lineage, recipe_losses=losses)


def part(name: str, train_from: int | None, halves: float | None) -> MemberLineage:
    recipe = Member(name=name).model_dump(mode="json")
    return MemberLineage(name, 0.0, recipe, 800, train_from, 800, 100, "d", halves=halves)


SEEN = [decision(7, {"old": 0.5, "fresh": 0.55}, 600), decision(8, {"old": 0.9, "fresh": 0.9}, 700)]


def test_weights_follow_the_halves_of_the_window_that_was_judged_on() -> None:
    old = part("old", None, None)
    without = weigh(definition(), SEEN, [old, part("fresh", 700, None)])
    found = weigh(definition(), SEEN, [old, part("fresh", 700, 0.4)])
    assert without.weights["fresh"] < 0.5
    assert found.weights["fresh"] > 0.8
    assert "fresh 0.8" in found.because and "(loss 0.4000)" in found.because
    assert "fresh's is of the halves of that window" in found.because
    assert "halves" not in without.because


def test_where_losses_are_levelled_the_levelled_halves_count() -> None:
    """The member that ranks better has the weight, though another one's level fits better."""
    levelled = [{"old": 0.4, "fresh": 0.5}, {"old": 0.4, "fresh": 0.5}]
    seen = [replace(d, levelled_losses=each) for d, each in zip(SEEN, levelled, strict=True)]
    old, fresh = part("old", None, None), part("fresh", 700, 0.3)
    assert weigh(definition(), SEEN, [old, fresh]).weights["fresh"] > 0.8
    found = weigh(definition(), seen, [old, fresh])
    assert found.weights["old"] > 0.8 and "halves" not in found.because
    turned = weigh(definition(), seen, [old, replace(fresh, levelled_halves=0.2)])
    assert turned.weights["fresh"] > 0.8 and "(loss 0.2000)" in turned.because


def test_the_level_that_served_knows_no_window_that_ended_later() -> None:
    losses = {f"{s:g}": 0.7 - 0.1 * s for s in SHARES}
    seen = [
        replace(decision(w, {"old": 0.5}, 0), level={"asked": (0.1 * w,), "losses": losses})
        for w in range(1, 9)
    ]
    for before in (100, 300, 500, 900):  # a window w ends at 100 w
        known = [d for d in seen if d.as_of < before]
        assert level(definition(), seen, before=before) == level(definition(), known)
    assert level(definition(), seen, before=500).whole != level(definition(), seen).whole
    assert level(definition(), seen, before=100).whole == ()


def test_what_older_releases_recorded_makes_no_member_less_sure_and_no_mixture_surer() -> None:
    bold = {f"{s:g}": 1.0 - 0.1 * s for s in BOLDNESS}
    old = [replace(decision(w, {"old": 0.5}, 0), sharpness_losses=bold) for w in range(20)]
    assert sharpen(old, ["old"]) == {"old": 1.0}
    assert temper(old).value == 1
    blunt = {"old": {f"{s:g}": 0.5 + 0.1 * s for s in SHARPNESS}}
    new = [replace(d, member_sharpness=blunt) for d in old]
    assert sharpen(new, ["old"])["old"] < 0.5
    assert temper(new).value < 0.7


def test_halves_of_another_window_say_nothing() -> None:
    """After a window without a decision on it the newest losses are of an older one."""
    old = part("old", None, None)
    without = weigh(definition(), SEEN, [old, part("fresh", 700, None)])
    assert weigh(definition(), SEEN, [old, part("fresh", 600, 0.4)]) == without
    none = [SEEN[0], replace(SEEN[1], lineage=None)]
    assert weigh(definition(), none, [old, part("fresh", 700, 0.4)]).weights == without.weights
    assert set(weigh(definition(), [], [old, part("fresh", 700, 0.4)]).weights.values()) == {0.5}


def test_a_lineage_without_halves_keeps_its_digest() -> None:
    assert "halves" not in part("old", None, None).as_json()
    assert part("fresh", 700, 0.25).as_json()["halves"] == 0.25


def test_only_a_window_that_surprised_all_members_has_its_halves_learned() -> None:
    calm = [{"old": 0.5 + 0.01 * (i % 3), "fresh": 0.6} for i in range(8)]
    assert not surprised([]) and not surprised([{"old": 9.0}]) and not surprised(calm)
    assert not surprised([*calm, {"old": 0.9, "fresh": 0.55}])  # one of them knows it
    assert surprised([*calm, {"old": 0.9, "fresh": 0.8}])
    assert not surprised([*calm, {"old": 0.9, "fresh": 0.8}, {"old": 0.9, "fresh": 0.5}])
    assert surprised([*calm, {"old": float("nan"), "fresh": 0.8}])
    assert not surprised([*([{"old": 0.2}] * 8), *([{"old": 0.6}] * 6), {"old": 0.62}])  # long ago
