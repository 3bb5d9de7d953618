"""Whether training is worth it: arithmetic on decisions and declared prices."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from ratchet.contracts.economics import CHECK, Economics
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision, Lineage, MemberLineage
from ratchet.self_train import (
    Look,
    Offer,
    account,
    cells,
    fell,
    invest,
    last_training,
    looks,
    member_looks,
    staleness,
    units_of,
)
from ratchet.self_train.economics import START

PRICES = Economics(loss_worth=1.0, cpu_hour=3600, cells_per_second=1.0)  # a cell costs 1
LINEAR = [Look(w, a, 0.01 * a) for w, a in ((1, 1), (2, 2), (3, 3), (4, 1))]


def decided(window: int, **changes: Any) -> Decision:
    """A decision of a pipeline with windows of 10 ticks."""
    return replace(
        Decision("toy", str(window), window, 10 * window, f"toy/{window}/d", "d", "held", ()),
        **changes,
    )


def trained(window: int, before: int, members: tuple[MemberLineage, ...] = ()) -> Lineage:
    return Lineage(
        "toy", str(window), 10 * window, {}, 1, 1, 0, 0, None, before, 5, "", "d", "", None,
        members=members,
    )  # fmt: skip


def test_a_line_that_is_seen_without_noise_is_found_and_certain() -> None:
    curve = staleness(LINEAR, now=5)
    assert curve is not None
    assert curve.slope == pytest.approx(0.01)
    assert curve.error == pytest.approx(0, abs=1e-9)
    assert curve.looks == 4


@pytest.mark.parametrize(
    "known",
    [
        [],
        LINEAR[:2],
        [Look(w, 0, 0.1) for w in range(9)],
        [Look(w, 1, math.nan) for w in range(9)],
    ],
)
def test_too_little_evidence_is_none(known: list[Look]) -> None:
    assert staleness(known, now=9) is None


def test_against_other_members_only_the_change_with_age_counts() -> None:
    known = [Look(w, w % 4, 0.5 + 0.02 * (w % 4)) for w in range(8)]
    curve = staleness(known, now=8, anchored=False)
    assert curve is not None
    assert curve.slope == pytest.approx(0.02)
    assert staleness([Look(w, 1, 0.1 * w) for w in range(8)], now=8, anchored=False) is None


def test_what_was_seen_long_ago_is_less_certain_now() -> None:
    noisy = [Look(w, 1 + w % 3, 0.01 * (w % 2)) for w in range(8)]
    soon, late = staleness(noisy, now=8), staleness(noisy, now=30)
    assert soon is not None
    assert late is not None
    assert late.slope == pytest.approx(soon.slope)
    assert late.error > soon.error
    assert late.most > soon.most


def test_it_is_trained_once_what_staleness_cost_reaches_the_price() -> None:
    curve = staleness(LINEAR, now=5)
    # Ages 1, 2, 3 at 100 predictions each: .01 x 600 = 6.
    offer = Offer(cells=6.01, predictions=(100, 100, 100), age=3, now=5)
    kept, bought = invest(offer, curve, PRICES), invest(replace(offer, cells=5.99), curve, PRICES)
    assert (kept.train, bought.train) == (False, True)
    assert kept.saving == bought.saving == pytest.approx(6)
    assert kept.cost == pytest.approx(6.01)
    assert "expected saving 6 < cost 6.01" in kept.because
    half = invest(replace(offer, share=0.5), curve, PRICES)
    assert half.saving == pytest.approx(3)


def test_what_is_forced_or_unknown_is_trained_whatever_it_costs() -> None:
    offer = Offer(cells=1e9, predictions=(10,), age=1, now=5)
    unknown = invest(offer, None, PRICES)
    assert (unknown.train, unknown.saving) == (True, None)
    forced = invest(offer, staleness(LINEAR, now=5), PRICES, forced="drift")
    assert (forced.train, forced.because) == (True, "drift")
    assert forced.saving is not None
    assert forced.saving < forced.cost


def test_a_model_that_does_not_age_is_kept() -> None:
    better = [Look(w, 1 + w % 2, -0.01) for w in range(6)]
    choice = invest(Offer(1.0, (100,), 3, 6), staleness(better, now=6), PRICES)
    assert (choice.train, choice.saving) == (False, 0.0)


def test_the_price_follows_the_work() -> None:
    assert cells(1000, 20, 100, 6) == START + 12e6
    assert cells(1000, 20, 100, 6, classes=3) == START + 36e6
    assert cells(0, 20, 100, 6) == 0
    prices = Economics(loss_worth=1, cpu_hour=0.1, cells_per_second=1e6)
    assert prices.price(1e6 * 3600) == pytest.approx(0.1)


def test_a_fall_is_what_the_history_does_not_explain() -> None:
    before = [0.50, 0.52, 0.48, 0.51, 0.49]
    assert fell(before, 0.53) == ""
    assert "0.6000 is above 0.5" in fell(before, 0.60)
    assert fell(before[:4], 0.60) == ""
    assert fell(before, math.nan) == ""


def test_looks_compare_champion_and_candidate_by_their_ages() -> None:
    made = [
        decided(3, lineage=trained(3, 10), outcome="promoted", champion_after=1),
        decided(
            4,
            lineage=trained(4, 20),
            champion_before=1,
            champion={"loss": 0.55},
            candidate={"loss": 0.5},
        ),
        decided(5, champion_before=1, champion={"loss": 0.6}),  # put off
        decided(
            6,
            lineage=trained(6, 40),
            champion_before=1,
            champion={"loss": 0.6},
            candidate={"loss": 0.5},
            cycle_key="toy/6/d/trusted",
        ),
        decided(
            7,
            lineage=trained(7, 50),
            champion_before=9,
            champion={"loss": 0.6},
            candidate={"loss": 0.5},
        ),
    ]
    (look,) = looks(made, length=10)
    assert (look.window, look.age, look.gap) == (4, 1.0, pytest.approx(0.05))
    assert last_training(made) is made[-1]
    assert last_training(made[:3]) is made[1]
    assert last_training([]) is None


def test_a_member_is_compared_with_the_others() -> None:
    def member(name: str, as_of: int, before: int) -> MemberLineage:
        return MemberLineage(name, 0.5, {}, as_of, None, before, 5, "")

    made = [
        decided(
            w,
            lineage=trained(w, 10 * w, (member("a", 30, 30), member("b", 10 * w, 10 * w))),
            recipe_losses={"a": 0.5 + 0.01 * w, "b": 0.5},
        )
        for w in (3, 4, 5)
    ]
    found = member_looks(made, "a", length=10)
    assert [(k.age, round(k.gap, 6)) for k in found] == [(0, 0.03), (1, 0.04), (2, 0.05)]
    assert last_training(made, "a") is made[0]
    assert last_training(made, "b") is made[2]
    assert member_looks([decided(1, recipe_losses={"a": 1.0})], "a", 10) == []


def test_the_account_sums_what_was_made_and_what_was_put_off() -> None:
    curve = staleness(LINEAR, now=5)
    offer = Offer(cells=5.0, predictions=(100, 100, 100), age=3, now=5)
    choices = [
        invest(offer, curve, PRICES),
        invest(replace(offer, cells=7.0), curve, PRICES),
        invest(offer, None, PRICES),
    ]
    made = [
        decided(
            w,
            evidence=(
                Evidence(CHECK, Verdict.PASS, "", details={"units": {"recipes": c.as_json()}}),
            ),
            lineage=trained(w, 0) if c.train else None,
        )
        for w, c in enumerate(choices)
    ]
    found = account(units_of(made))
    assert (found["trained"], found["put_off"]) == (2, 1)
    assert (found["saving"], found["spent"], found["avoided"]) == (6.0, 10.0, 7.0)
    could_not = replace(made[0], lineage=None)  # too few rows after all
    assert units_of([could_not]) == []
