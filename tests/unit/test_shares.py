"""The share of the weight that is dealt out evenly: large until a calm world has said otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.self_train import SHARES, believed
from ratchet.self_train.shares import MOST, PRIOR

SMALL, LARGE = (f"{s:g}" for s in sorted(SHARES))
windows = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0, 20)).map(lambda v: {SMALL: v[0], LARGE: v[1]}),
    max_size=30,
)


@given(windows)
def test_beliefs_are_shares_of_one_and_never_die_out(losses):
    found = believed(losses)
    assert set(found) == {SMALL, LARGE}
    assert sum(found.values()) == pytest.approx(1)
    assert min(found.values()) > 0.001


def test_without_evidence_the_large_one_is_believed():
    assert believed([])[LARGE] > 0.95
    assert believed([{SMALL: float("nan"), LARGE: 0.1}, {LARGE: 0.2}]) == believed([])


def test_it_follows_what_the_mixtures_lost_and_back():
    calm, turned = {SMALL: 0.40, LARGE: 0.46}, {SMALL: 0.60, LARGE: 0.50}
    assert believed([calm] * 8)[SMALL] > 0.9
    assert believed([calm] * 20 + [turned] * 2)[LARGE] > 0.5
    assert believed([{SMALL: 0.40, LARGE: 0.401}] * 20)[LARGE] > 0.8  # not for so little


def test_one_window_alone_moves_it_by_no_more_than_its_bound():
    once = believed([{SMALL: 0.0, LARGE: 1e6}])
    assert MOST <= PRIOR
    assert once[LARGE] > 0.4
