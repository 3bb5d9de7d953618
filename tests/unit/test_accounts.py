"""Lifetime accounts: honest sources are never accused, slow attacks are."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.defence import Shield
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict
from ratchet.validate.accounts import (
    LARGEST,
    SMALLEST_P,
    TIMES,
    Account,
    Facts,
    check_account,
)
from ratchet.validate.facts import facts_by_source
from ratchet.validate.quota import check_quota, quota
from tests.streams import PIPELINE

P0 = 0.005


def life(facts):
    account, path = Account(), []
    for i, fact in enumerate(facts):
        account = account.after(i, fact, P0)
        path.append(account)
    return path


def alarm_at(path, alpha=0.001):
    return next((i for i, a in enumerate(path) if a.log_e >= math.log(1 / alpha)), None)


def log_e_of_many(failures, trials, p):
    """The same recursion on many lives at once; shape (windows, lives) in, yields (lives,)."""
    rates = np.minimum(np.array(TIMES) * P0, LARGEST)[:, None]
    bets = np.full((len(TIMES), failures.shape[1]), -np.inf)
    compared = np.full(failures.shape[1], -np.inf)
    for t, (k, q) in enumerate(zip(failures, np.clip(p, SMALLEST_P, 1 - 1e-6), strict=True)):
        part = -math.log((t + 1) * (t + 2))
        gain = k * np.log(rates / P0) + (trials - k) * (np.log1p(-rates) - math.log1p(-P0))
        bets = np.logaddexp(bets, part) + gain
        log = np.log(q)
        compared = np.logaddexp(compared, part) + np.log((1 - q + q * log) / q) - 2 * np.log(-log)
        checked = np.logaddexp.reduce(bets) - math.log(len(TIMES))
        yield np.logaddexp(np.logaddexp(checked, compared) - math.log(2), -math.log(t + 2))


def test_the_simulation_below_is_of_the_real_account():
    rng = np.random.default_rng(2)
    failures, p = rng.binomial(300, 0.01, (40, 1)), rng.random((40, 1))
    path = life(
        [Facts(300, int(k), float(q)) for k, q in zip(failures[:, 0], p[:, 0], strict=True)]
    )
    many = [float(e[0]) for e in log_e_of_many(failures, 300, p)]
    assert many == pytest.approx([a.log_e for a in path], abs=1e-6)


def accused(lives, windows, alpha, seed, trials=200):
    rng = np.random.default_rng(seed)
    failures = rng.binomial(trials, P0, (windows, lives)).astype(np.float32)
    ever = np.zeros(lives, dtype=bool)
    for log_e in log_e_of_many(failures, trials, rng.random((windows, lives), dtype=np.float32)):
        ever |= log_e >= math.log(1 / alpha)
    return int(ever.sum())


def test_honest_sources_at_the_very_limit_are_hardly_ever_accused():
    """2,000 lives of 200 windows at alpha 0.02: Ville allows 40."""
    assert accused(2000, 200, 0.02, seed=11) <= 57  # 40 + 2.7 standard errors


@pytest.mark.slow
def test_a_thousand_windows_accuse_at_most_one_honest_source_in_a_thousand():
    """20,000 lives of 1,000 windows at alpha 0.001: Ville allows 20."""
    assert accused(20_000, 1000, 0.001, seed=12) <= 32  # 20 + 2.7 standard errors


@pytest.mark.parametrize(("rate", "most"), [(0.01, 12), (0.02, 2), (0.1, 1)])
def test_a_persistent_attack_is_seen(rate, most):
    rng = np.random.default_rng(3)
    path = life([Facts(1000, int(rng.binomial(1000, rate))) for _ in range(40)])
    found = alarm_at(path)
    assert found is not None
    assert found < most


def test_a_source_that_turns_after_a_long_honest_life_is_seen_with_its_change_point():
    rng = np.random.default_rng(4)
    honest = [Facts(1000, int(rng.binomial(1000, 0.001)), float(rng.random())) for _ in range(100)]
    bad = [Facts(1000, int(rng.binomial(1000, 0.02)), 0.2) for _ in range(10)]
    path = life(honest + bad)
    found = alarm_at(path)
    assert found is not None
    assert 100 <= found < 105
    assert abs(path[found].since - 100) <= 1


def test_a_boiling_frog_is_seen_before_it_is_hot():
    rng = np.random.default_rng(5)
    rates = np.linspace(0.02, 0.2, 10)
    path = life([Facts(1000, int(rng.binomial(1000, r))) for r in rates])
    assert alarm_at(path) <= 2


def test_rows_that_are_only_added_are_seen_by_the_comparisons():
    path = life([Facts(1000, 0, 0.004) for _ in range(12)])
    assert alarm_at(path) is not None


def test_one_clean_window_never_alarms():
    account = Account().after(0, Facts(1000, 0, 1.0), P0)
    found = check_account("ewr", account, 0.001)
    assert found.verdict is Verdict.PASS
    assert "0 of 1,000 checked rows differed in 1 windows, at most 5 expected" in found.arithmetic
    assert Account().trust == 0.5  # of whom nothing is known
    assert account.trust > 0.5


def test_an_alarm_says_since_when():
    account = life([Facts(1000, 300) for _ in range(2)])[-1]
    found = check_account("ewr", account, 0.001, "2013-04-02")
    assert found.verdict is Verdict.BLOCK
    assert "alarm; since window 2013-04-02" in found.arithmetic
    assert account.trust < 1e-6


facts = st.builds(
    lambda n, share, p: Facts(n, int(n * share), p),
    st.integers(0, 2000),
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(0, 1)),
)


@given(st.lists(facts, max_size=12))
def test_it_survives_json_and_a_repeated_window(history):
    account = Account()
    for i, fact in enumerate(history):
        account = account.after(i, fact, P0)
        assert account.after(i, Facts(10, 10), P0) == account
    assert Account.from_json(account.as_json()) == account
    assert math.isfinite(account.log_e)
    assert 0 <= account.trust <= 1


@given(facts.filter(lambda f: f.trials > f.failures))
def test_one_more_failure_never_lowers_the_e_value(fact):
    less = Account().after(0, fact, P0)
    more = Account().after(0, Facts(fact.trials, fact.failures + 1, fact.p_value), P0)
    assert more.log_e >= less.log_e - 1e-9


def test_windows_without_facts_earn_no_trust():
    idle = life([Facts(0, 0)] * 50)[-1]
    assert idle.log_e == pytest.approx(0, abs=1e-9)
    assert idle.since is None


def test_one_comparison_alone_never_accuses_for_life():
    assert alarm_at(life([Facts(1000, 0, 1e-200)])) is None
    twice = life([Facts(1000, 0, 1e-200)] * 3)
    assert alarm_at(twice) is not None
    assert "mostly by the comparisons: alarm" in check_account("x", twice[-1], 0.001).arithmetic


@pytest.mark.parametrize("wrong", [(5, 6, None), (5, -1, None), (5, 0, math.nan), (5, 0, 1.5)])
def test_facts_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="expected 0 <= failures"):
        Facts(*wrong)


@given(st.lists(facts.filter(lambda f: f.trials > f.failures), min_size=1, max_size=6), st.data())
def test_a_failure_more_in_any_window_never_lowers_e_nor_raises_trust(history, data):
    i = data.draw(st.integers(0, len(history) - 1))
    worse = list(history)
    worse[i] = Facts(history[i].trials, history[i].failures + 1, history[i].p_value)
    less, more = life(history)[-1], life(worse)[-1]
    assert more.log_e >= less.log_e - 1e-9
    assert more.trust <= less.trust + 1e-9


@given(st.lists(facts, min_size=10, max_size=10))
def test_the_state_has_one_size(history):
    assert len(str(life(history * 3)[-1].as_json())) < 600


def test_each_source_answers_for_its_own_rows():
    sources = pa.chunked_array([["b", "a", "b"], ["b", "c"]])
    found = facts_by_source(sources, np.array([0, 1, 3, 0]), np.array([0, 1, 0, 1], bool), 0.3)
    assert found == {"a": Facts(1, 1), "b": Facts(2, 1), "c": Facts(0, 0)}
    alone = facts_by_source(pa.chunked_array([["b", "b"]]), np.array([], int), np.array([]), 0.3)
    assert alone == {"b": Facts(0, 0, 0.3)}


sent = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 5000), min_size=1)
trusts = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 1))
shares = st.floats(0.05, 0.95)


@given(sent, trusts)
def test_a_share_of_one_sets_no_row_aside(rows, trust):
    assert quota(rows, trust, 1.0) == rows


@given(sent, shares)
def test_no_source_gives_more_than_its_share_of_what_is_kept(rows, share):
    allowed = quota(rows, {}, share)
    assert all(0 <= allowed[s] <= rows[s] for s in rows)
    slack = len(rows)  # each bound is rounded down
    assert max(allowed.values()) <= share * (sum(allowed.values()) + slack) + 1e-6


@given(sent, trusts, shares, st.integers(1, 100_000), st.data())
def test_flooding_and_a_bad_name_cost_nobody_else(rows, trust, share, more, data):
    flooder = data.draw(st.sampled_from(sorted(rows)))
    before = quota(rows, trust, share)
    flooded = quota({**rows, flooder: rows[flooder] + more}, trust, share)
    accused_ = quota(rows, {**trust, flooder: 0.0}, share)
    others = [s for s in rows if s != flooder]
    assert all(flooded[s] >= before[s] for s in others)
    assert all(accused_[s] == before[s] for s in others)
    assert accused_[flooder] <= before[flooder]


@given(st.lists(st.integers(0, 1000), min_size=3, max_size=8), shares)
def test_sending_more_beyond_the_bound_gains_nothing(counts, share):
    rows = {str(i): n for i, n in enumerate(counts)}
    allowed = quota(rows, {}, share)
    for source, n in rows.items():
        if allowed[source] < n:
            assert quota({**rows, source: 10 * n}, {}, share) == allowed


@pytest.mark.parametrize(
    ("rows", "share", "kept"),
    [
        ({"a": 900, "b": 300, "c": 300}, 0.5, {"a": 600, "b": 300, "c": 300}),
        ({"a": 900, "b": 100}, 0.5, {"a": 100, "b": 100}),
        (dict.fromkeys("abcdefghij", 10), 0.1, dict.fromkeys("abcdefghij", 10)),
        ({"a": 900}, 0.4, {"a": 0}),  # one source cannot stay below 40 %
        ({"a": 0}, 0.4, {"a": 0}),
        ({}, 0.4, {}),
    ],
)
def test_quotas_by_hand(rows, share, kept):
    assert quota(rows, {}, share) == kept


def test_an_accused_source_may_give_almost_nothing():
    rows = {"a": 400, "b": 400, "c": 400}
    assert quota(rows, {"a": 0.001, "b": 0.25, "c": 0.9}, 0.5) == {"a": 1, "b": 300, "c": 400}


def batch(order, sources):
    keys = [f"k{i}" for i in order]
    return pa.table({"_key": keys, "_source": [sources[i] for i in order]})


def over(table, share, seed=5, trust=None):
    found = check_quota(table, definition(share), trust or {}, seed)
    return found, {k for k, o in zip(table["_key"].to_pylist(), found.over, strict=True) if o}


def definition(share):
    shield = Shield(max_source_share=share)
    return parse(PIPELINE).model_copy(update={"shield": shield})


def test_the_draw_depends_on_the_seed_and_not_on_the_order():
    sources = ["flood"] * 900 + ["b"] * 300 + ["c"] * 300
    order = list(range(1500))
    found, first = over(batch(order, sources), 0.5)
    assert found.evidence.verdict is Verdict.WARN
    assert "300 of 1,500 rows are over their source's quota of 0.5: flood 300 of 900" in (
        found.evidence.arithmetic
    )
    assert len(first) == 300
    assert {sources[int(k[1:])] for k in first} == {"flood"}
    assert over(batch(order[::-1], sources), 0.5)[1] == first
    assert over(batch(order, sources), 0.5, seed=6)[1] != first


def test_quotas_pass_where_nothing_is_over_and_block_where_nothing_is_left():
    alone = batch(range(10), ["a"] * 10)
    assert over(alone, 1.0)[0].evidence.verdict is Verdict.PASS
    assert not over(alone, 1.0)[1]
    blocked, keys = over(alone, 0.5)
    assert blocked.evidence.verdict is Verdict.BLOCK
    assert len(keys) == 10
    assert over(batch([], []), 0.5)[0].evidence.verdict is Verdict.PASS
