"""Exact tails against scipy, and their own laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ratchet.validate.tails import binomial_sf, hypergeometric_bounds, hypergeometric_tails


@given(st.integers(0, 400), st.integers(0, 400), st.floats(1e-4, 0.9999))
def test_binomial_tail_is_scipys(k, n, p):
    assert binomial_sf(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-8, abs=1e-13)


@pytest.mark.parametrize(
    ("k", "n", "p"), [(0, 10, 0.0), (1, 10, 0.0), (10, 10, 1.0), (11, 10, 0.5)]
)
def test_binomial_edges(k, n, p):
    assert binomial_sf(k, n, p) == stats.binom.sf(k - 1, n, p)


def test_small_tails_keep_their_digits():
    assert binomial_sf(60, 1000, 0.005) == pytest.approx(stats.binom.sf(59, 1000, 0.005), rel=1e-9)
    low, _ = hypergeometric_tails([0], [600], 1000, 6500)
    assert low[0] == pytest.approx(stats.hypergeom.cdf(0, 6500, 600, 1000), rel=1e-8)


@given(st.data())
def test_hypergeometric_tails_are_scipys(data):
    rows = data.draw(st.integers(2, 800))
    drawn = data.draw(st.integers(1, rows - 1))
    cell = data.draw(st.integers(0, rows))
    least, most = max(0, cell - (rows - drawn)), min(cell, drawn)
    count = data.draw(st.integers(least, most))
    low, high = hypergeometric_tails([count], [cell], drawn, rows)
    assert low[0] == pytest.approx(
        stats.hypergeom.cdf(count, rows, cell, drawn), rel=1e-7, abs=1e-12
    )
    expected = stats.hypergeom.sf(count - 1, rows, cell, drawn)
    assert high[0] == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_many_cells_at_once():
    rng = np.random.default_rng(5)
    cell = rng.integers(8, 500, 20_000)
    count = rng.hypergeometric(cell, 6500 - cell, 1000)
    low, high = hypergeometric_tails(count, cell, 1000, 6500)
    assert low == pytest.approx(stats.hypergeom.cdf(count, 6500, cell, 1000), rel=1e-6, abs=1e-12)
    assert np.all(low + high >= 1)


@pytest.mark.parametrize("bad", [([3], [2], 10, 20), ([-1], [2], 10, 20), ([0], [30], 10, 20)])
def test_counts_that_cannot_be_are_refused(bad):
    with pytest.raises(ValueError, match="do not fit"):
        hypergeometric_tails(*bad)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(ValueError, match="expected"):
        binomial_sf(1, 2, 1.5)


@given(st.data())
def test_bounds_enclose_the_tails(data):
    rows = data.draw(st.integers(1, 3000))
    drawn, cell = data.draw(st.integers(0, rows)), data.draw(st.integers(0, rows))
    count = data.draw(st.integers(max(0, cell - (rows - drawn)), min(cell, drawn)))
    tails = hypergeometric_tails([count], [cell], drawn, rows)
    least, *most = hypergeometric_bounds([count], [cell], drawn, rows)
    for tail, above in zip(tails, most, strict=True):
        assert least[0] <= tail[0] <= above[0]


def test_bounds_are_close_where_the_tail_is_small():
    (low, _), (least, above, _) = (
        of([0], [65], 1000, 6500) for of in (hypergeometric_tails, hypergeometric_bounds)
    )
    assert least[0] > 0.99 * low[0]
    assert above[0] < 1.1 * low[0]
