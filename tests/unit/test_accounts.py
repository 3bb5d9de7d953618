"""Lifetime accounts: honest sources are never accused, slow attacks are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.evidence import Verdict
from ratchet.validate.accounts import Account, Facts, check_account

P0 = 0.005


def life(facts):
    account, path = Account(), []
    for i, fact in enumerate(facts):
        account = account.after(i, fact, P0)
        path.append(account)
    return path


def alarm_at(path, alpha=0.001):
    return next((i for i, a in enumerate(path) if a.log_e >= math.log(1 / alpha)), None)


def test_honest_sources_at_the_very_limit_are_hardly_ever_accused():
    """3,000 lives of 200 windows at alpha 0.01: at most 30 expected; the bound is Ville's."""
    rng = np.random.default_rng(11)
    accused = 0
    for _ in range(3000):
        failures = rng.binomial(200, P0, 200)
        p = rng.random(200)
        path_alarm = False
        account = Account()
        for i in range(200):
            account = account.after(i, Facts(200, int(failures[i]), float(p[i])), P0)
            if account.log_e >= math.log(100):
                path_alarm = True
                break
        accused += path_alarm
    assert accused <= 45  # 30 + 2.7 standard errors


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
    assert "0 of 1,000 checked rows differed" in found.arithmetic
    assert account.trust == 1.0


def test_an_alarm_says_since_when():
    account = life([Facts(1000, 300) for _ in range(2)])[-1]
    found = check_account("ewr", account, 0.001, "2013-04-02")
    assert found.verdict is Verdict.BLOCK
    assert "alarm, since 2013-04-02" in found.arithmetic
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
