"""Sealed rows: who is sealed, what a reading may cost, and when the gate is closed."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.sealed import (
    NO_BETTER,
    climb,
    confirmed,
    ever_by_bootstrap,
    ever_confirmed,
    lower_bounds,
    normal,
)
from ratchet.contracts.columns import KEY
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Lineage
from ratchet.contracts.metrics import student_quantile
from ratchet.contracts.sealed import Seal
from ratchet.errors import DefinitionError
from ratchet.gate import Account, GateInput, SealedInput, judge_sealed
from ratchet.gate.sealed import lower_bound, trustworthy_rows
from tests import streams

FIRST_RELEASE = {
    *("name", "source", "time", "label", "features", "validate", "train", "recipes", "drift"),
    *("gate", "watch", "shield", "trusted", "record"),
}
SEALED = "\n[sealed]\nmin_rows = 100\n"
DEFINITION = parse(streams.PIPELINE + SEALED)
keys = st.lists(st.text(max_size=20), max_size=40)

# --- who is sealed -------------------------------------------------------------------------------


@settings(deadline=None)
@given(keys, st.binary(min_size=1, max_size=64), st.floats(0.01, 0.5), st.randoms())
def test_a_key_is_sealed_whatever_stands_around_it(found, secret, share, random) -> None:
    seal = Seal(secret, share)
    alone = {key: bool(seal.mask(pa.array([key]))[0]) for key in found}
    random.shuffle(found)
    assert seal.mask(pa.array(found, pa.string())).tolist() == [alone[key] for key in found]
    rows = pa.table({KEY: pa.array(found, pa.string())})
    assert seal.without(rows)[KEY].to_pylist() == [key for key in found if not alone[key]]


def test_the_share_holds_and_two_secrets_seal_independently() -> None:
    some = pa.chunked_array([[f"row-{i}" for i in range(10_000)], [f"x{i}" for i in range(10_000)]])
    one, two = (Seal(secret, 0.1).mask(some) for secret in (b"one", b"two"))
    assert one.mean() == pytest.approx(0.1, abs=0.01)
    assert (one & two).mean() == pytest.approx(0.01, abs=0.003)


def test_a_seal_of_nothing_keeps_the_table_and_a_secret_is_never_shown() -> None:
    rows = pa.table({KEY: ["a", "b"]})
    assert Seal(b"", 0.0).without(rows) is rows
    assert "hush" not in repr(Seal(b"hush", 0.1))


# --- digests stay --------------------------------------------------------------------------------


def test_a_pipeline_without_sealed_rows_keeps_its_digest() -> None:
    plain = parse(streams.PIPELINE)
    later = dict.fromkeys(set(plain.model_dump(by_alias=True)) - FIRST_RELEASE, True)
    hidden = {**later, "watch": {"label_free"}, "gate": {"discover", "shortcuts"}}
    before = plain.model_dump(mode="json", by_alias=True, exclude=hidden)
    del before["validate"]["moved_after"]
    text = json.dumps(before, sort_keys=True)
    assert plain.digest == hashlib.sha256(text.encode()).hexdigest()
    assert len({plain.digest, DEFINITION.digest}) == 2
    other = parse(streams.PIPELINE + SEALED.replace("100", "101"))
    assert other.digest != DEFINITION.digest


def test_lineage_says_the_share_only_where_rows_were_sealed() -> None:
    plain = Lineage("p", "w", 1, {}, 0, 1, 0, 0, None, 1, 1, "", "", "", None)
    assert "sealed_share" not in plain.as_json()
    sealed = replace(plain, sealed_share=0.1)
    assert Lineage.from_json(sealed.as_json()) == sealed


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("share", 0),
        ("share", 0.6),
        ("alpha", 0.5),
        ("margin", 1),
        ("margin", -0.1),
        ("min_rows", 9),
    ],
)
def test_a_wrong_part_names_its_key(key: str, value: float) -> None:
    with pytest.raises(DefinitionError, match=f"sealed.{key}"):
        parse(streams.PIPELINE + f"\n[sealed]\n{key} = {value}\n")


# --- the account ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=200), st.floats(1e-6, 0.49))
def test_the_account_never_runs_into_debt(readings: list[bool], alpha: float) -> None:
    account, spent = Account(), 0.0
    for passed in readings:
        level = account.level(alpha)
        assert 0 < level <= account.left(alpha)
        spent += 0.0 if passed else level
        account = account.after(passed=passed, rows=10, read_before=7)
        assert account.left(alpha) + spent == pytest.approx(alpha)
        assert Account.from_json({**account.as_json(), "of a newer release": 1}) == account
    assert (account.readings, account.failed) == (len(readings), readings.count(False))
    assert account.left(alpha) > 0


# --- the bound -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.floats(-10, 10), min_size=20, max_size=200),
    st.floats(-5, 5),
    st.floats(1e-6, 0.3),
)
def test_the_bound_moves_with_the_rows_and_is_never_above_students(values, shift, level) -> None:
    rows = np.array(values)
    lower = lower_bound(rows, level)
    assert lower_bound(rows + shift, level) == pytest.approx(lower + shift, abs=1e-6)
    steps = student_quantile(1 - level, len(rows) - 1)
    student = rows.mean() - steps * rows.std(ddof=1) / math.sqrt(len(rows))
    assert lower <= student + 1e-9
    assert lower_bound(rows, level / 10) <= lower + 1e-9


def test_a_long_tail_of_losses_widens_the_bound_and_one_of_gains_does_not() -> None:
    gains = np.random.default_rng(1).exponential(size=400)
    steps = student_quantile(0.99, 399) * gains.std(ddof=1) / 20
    assert lower_bound(gains, 0.01) == pytest.approx(gains.mean() - steps)
    assert lower_bound(-gains, 0.01) < -gains.mean() - 1.05 * steps


# --- a reading -----------------------------------------------------------------------------------


def logistic(x):
    return 1 / (1 + np.exp(-x))


def request(rows=600, candidate=1.0, champion=0.6, truth=1.0, spent=0, seed=0, weak=None):
    """Labels follow a signal; models follow it with these slopes; ``weak``: the candidate in b."""
    random = np.random.default_rng(seed)

    def world(n):
        signal = 2 * random.normal(size=n)
        return signal, (random.random(n) < logistic(truth * signal)).astype(float)

    held_signal, held_y = world(2000)
    signal, y = world(rows)
    letters = random.choice(["a", "b"], rows)
    slope = np.where(letters == "b", candidate if weak is None else weak, candidate)
    held = GateInput(
        y=held_y,
        events=np.arange(2000),
        candidate=logistic(candidate * held_signal),
        champion=None if champion is None else logistic(champion * held_signal),
        baseline=0.5,
        mature_rows=2000,
        overlap=0,
        holdout_from=0,
    )
    return SealedInput(
        y=y,
        candidate=logistic(slope * signal),
        champion=None if champion is None else logistic(champion * signal),
        held=held,
        spent=spent,
        read_before=2000,
        fresh_from="2013-05-07",
        slices={"c": pa.array(letters)},
    )


def test_without_the_part_nothing_is_read() -> None:
    assert judge_sealed(request(), Account(), parse(streams.PIPELINE)) == ([], Account())


def test_a_better_candidate_is_confirmed_and_its_level_comes_back() -> None:
    (first, slices), account = judge_sealed(request(), Account(failed=1, readings=1), DEFINITION)
    assert (first.verdict, slices.verdict) == (Verdict.PASS, Verdict.PASS)
    assert account == Account(readings=2, failed=1, rows=600, read_before=2000)
    assert "on 600 sealed rows" in first.arithmetic
    assert "reading 2, confirmed, so it gives back its level 0.0076: 0.0196" in (first.arithmetic)
    assert first.details["account"] == account.as_json()
    assert slices.check == "gate.sealed_slices"


def test_a_worse_candidate_is_blocked_and_the_level_is_gone() -> None:
    worse = request(candidate=1.0, truth=0.1)  # the other rows of the windows said otherwise
    held = request().held
    (first, _), account = judge_sealed(replace(worse, held=held), Account(), DEFINITION)
    assert first.verdict is Verdict.BLOCK
    assert (
        "not confirmed, so it costs its level 0.0304: 0.0196 of alpha 0.05 left" in first.arithmetic
    )
    assert (account.failed, account.rows) == (1, 600)


def test_what_cannot_be_told_apart_holds_and_costs_too() -> None:
    near = replace(request(truth=0.75, rows=300), held=request().held)
    (first, _), account = judge_sealed(near, Account(), DEFINITION)
    assert first.verdict is Verdict.INCONCLUSIVE
    assert account.failed == 1


def test_a_slice_that_sealed_rows_show_to_be_worse_blocks_and_is_charged() -> None:
    weak = request(candidate=1.0, champion=0.5, weak=0.2, rows=1200)
    strict = parse(streams.PIPELINE.replace("slice_margin = 0.5", "slice_margin = 0.01") + SEALED)
    (first, slices), account = judge_sealed(weak, Account(), strict)
    assert slices.verdict is Verdict.BLOCK
    assert "c=b" in slices.arithmetic
    assert account.failed == 1
    assert "so it costs its level 0.0304" in first.arithmetic


def test_the_first_champion_must_beat_a_constant_score_on_sealed_rows() -> None:
    (good,), _ = judge_sealed(request(champion=None), Account(), DEFINITION)
    assert good.verdict is Verdict.PASS
    assert good.threshold == 0.0
    noise = replace(request(champion=None, truth=0.0), held=request(champion=None).held)
    (bad,), account = judge_sealed(noise, Account(), DEFINITION)
    assert bad.verdict is Verdict.BLOCK
    assert account.failed == 1


@pytest.mark.parametrize("rows", [0, 99])
def test_too_few_rows_are_not_read_and_the_gate_says_which_it_waits_for(rows: int) -> None:
    asked = request(rows=rows, spent=512)
    (closed,), account = judge_sealed(asked, Account(), DEFINITION)
    assert (closed.verdict, account) == (Verdict.INCONCLUSIVE, Account())
    assert f"closed: {rows} sealed rows that no decision has read (512 others" in closed.arithmetic
    assert "100 are needed at level 0.03" in closed.arithmetic
    assert "labels of rows from 2013-05-07 on" in closed.arithmetic
    assert (closed.measured, closed.threshold) == (rows, 100)


def test_a_dry_account_closes_the_gate_until_there_are_rows_enough_for_its_level() -> None:
    asked, dry = request(rows=200, champion=0.9), Account(readings=3000, failed=3000)
    (closed,), account = judge_sealed(asked, dry, DEFINITION)
    assert closed.verdict is Verdict.INCONCLUSIVE
    assert account == dry
    needed = int(closed.details["needed"])
    assert 200 < needed < 20_000
    (opened, _), after = judge_sealed(request(rows=needed, champion=0.9), dry, DEFINITION)
    assert after.readings == 3001
    assert opened.details["level"] == pytest.approx(0.05 * 6 / (math.pi * 3001) ** 2)


def test_without_a_margin_a_candidate_that_is_the_same_is_never_read() -> None:
    strict = parse(streams.PIPELINE + SEALED + "margin = 0\n")
    same = request(candidate=0.6, champion=0.6)
    (closed,), account = judge_sealed(same, Account(), strict)
    assert "no number would do" in closed.arithmetic
    assert account == Account()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.lists(st.sampled_from([0.0, 1.0]), min_size=99, max_size=99))
def test_labels_that_are_not_read_decide_nothing(rows: int, labels: list[float]) -> None:
    asked = request(rows=rows)
    turned = replace(asked, y=np.array(labels[:rows]))
    one, two = (judge_sealed(r, Account(), DEFINITION) for r in (asked, turned))
    assert one == two


# --- a thousand candidates ------------------------------------------------------------------------

FAIR = [name for name in NO_BETTER if "disaster" not in name]  # what the sample can hold
LIVES = 200


@pytest.mark.parametrize("name", FAIR)
def test_a_thousand_candidates_that_are_no_better_do_not_get_through(name: str) -> None:
    sample, mean = NO_BETTER[name]
    assert ever_confirmed(sample, mean, LIVES, fresh=False) <= 0.05 + 2 * math.sqrt(0.0475 / LIVES)


def test_a_bootstrap_of_one_hold_out_lets_one_through_and_is_fooled_by_who_follows_it() -> None:
    assert ever_by_bootstrap(normal, 0.0, 1) == 1.0
    shown, true, passed = climb(2)
    assert shown > 0.1 > -0.1 > true
    assert passed == 1.0


def test_what_is_better_is_confirmed() -> None:
    assert confirmed(5.0, 0, LIVES) > 0.95
    assert confirmed(5.0, 10, LIVES) > 0.8


def test_so_many_windows_each_with_a_candidate_let_one_through_in_alpha_of_lives() -> None:
    sample, mean = NO_BETTER["normal"]
    assert ever_confirmed(sample, mean, LIVES, fresh=True) <= 0.05 + 2 * math.sqrt(0.0475 / LIVES)


@given(st.floats(1e-9, 0.4), st.floats(0.1, 0.99))
def test_a_smaller_level_needs_more_rows(level: float, less: float) -> None:
    assert trustworthy_rows(level * less) >= trustworthy_rows(level)


def test_the_benchmark_has_the_bound_of_the_gate() -> None:
    gains = -np.random.default_rng(5).exponential(size=(4, 300)) + 1.1
    gains[2:] *= -1
    assert lower_bounds(gains, 0.01) == pytest.approx([lower_bound(row, 0.01) for row in gains])


# --- shortcuts ------------------------------------------------------------------------------------


def test_a_feature_that_carries_far_more_than_before_must_be_borne_out() -> None:
    near = replace(request(candidate=0.62, champion=0.6, rows=3000), gains={"x": (0.1, 0.35)})
    (usual, _), _ = judge_sealed(near, Account(), DEFINITION)
    assert usual.verdict is Verdict.PASS
    assert "carries" not in usual.arithmetic
    worse = request(candidate=0.62, champion=0.6, truth=0.55, rows=3000)
    jumped = replace(worse, held=near.held, gains={"z": (0.9, 0.2), "x": (0.05, 0.75)})
    (asked, _), account = judge_sealed(jumped, Account(), DEFINITION)
    (before, _), _ = judge_sealed(replace(jumped, gains={}), Account(), DEFINITION)
    assert before.verdict is Verdict.PASS
    assert not asked.verdict.lets_through  # no worse is not enough now
    assert "x carries 0.75 of the gain, 0.05 in the champion" in asked.arithmetic
    better = replace(request(), gains=jumped.gains)
    (good, _), _ = judge_sealed(better, account, DEFINITION)
    assert good.verdict is Verdict.PASS
    assert (good.threshold, "so it must be shown to be better" in good.arithmetic) == (0.0, True)
