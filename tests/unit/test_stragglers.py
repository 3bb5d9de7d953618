"""validate: labels that come apart from the batch of their window."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.evidence import Verdict
from ratchet.validate import Stragglers, check_stragglers
from tests.content_kit import batch, definition

DEFINITION = definition(trusted={"objects": "trusted/**", "min_rows": 40})
ROWS, DRAWN = 2000, 200  # of a window, and how many of them are trusted


def window(index: int, seed: int) -> tuple[pa.Table, np.ndarray]:
    """The labelled rows of a window, and the places of those that are trusted."""
    rng = np.random.default_rng([seed, index])
    rows = batch(ROWS, seed + index)
    keys = pa.array([f"w{index}-{i}" for i in range(ROWS)])
    rows = rows.set_column(0, "_key", keys)
    y = pa.array((rng.random(ROWS) < 0.3).astype(float))
    return rows.append_column("_label", y), np.sort(rng.choice(ROWS, DRAWN, replace=False))


def judged(
    late: dict[int, int],
    wrong: float = 0,
    forged: int = 0,
    seed: int = 1,
    drawn: int = DRAWN,
    elsewhere: int = DRAWN,
) -> Stragglers:
    """``late`` labels of each window; a share of them is wrong, and so many rows are forged."""
    rng = np.random.default_rng(seed)
    parts, controls, at, known = [], [], [], {}
    for index, count in late.items():
        rows, trusted = window(index, seed)
        mine = rows.take(pa.array(np.sort(rng.choice(ROWS, count, replace=False))))
        if forged:
            names = pa.array([f"forged-{i}" for i in range(forged)])
            mine = pa.concat_tables([mine, rows.slice(0, forged).set_column(0, "_key", names)])
        parts.append(mine)
        controls.append(rows.take(pa.array(trusted[:drawn])))
        at += [index] * mine.num_rows
        known[index] = (ROWS + forged, drawn)
    known[99] = (ROWS, elsewhere)
    found = pa.concat_tables(parts).combine_chunks()
    y = found["_label"].to_numpy()
    turned = np.where(rng.random(len(y)) < wrong, 1 - y, y)
    found = found.set_column(found.column_names.index("_label"), "_label", pa.array(turned))
    said = check_stragglers(found, np.array(at), pa.concat_tables(controls), known, DEFINITION)
    json.dumps(said.evidence.as_json(), allow_nan=False)
    return said


def test_honest_labels_pass_and_say_how_many_are_trusted():
    found = judged({3: 300, 5: 100})
    assert found.evidence.verdict is Verdict.PASS
    assert found.evidence.arithmetic.startswith("400 labels of 2 other windows: 0 of ")
    assert "of them are trusted, 40.0 expected" in found.evidence.arithmetic
    assert len(found.checked) == found.evidence.details["trusted"] > 20
    assert not found.differs.any()


@pytest.mark.parametrize(("count", "wrong"), [(60, 1), (300, 0.3), (1000, 0.1)])
def test_wrong_labels_block(count, wrong):
    found = judged({3: count}, wrong)
    assert found.evidence.verdict is Verdict.BLOCK
    assert "differ from the trusted row of the same key, 0.005 allowed" in found.evidence.arithmetic
    assert "in the label" in found.evidence.arithmetic
    assert found.differs.sum() >= 2


def test_one_slip_is_allowed():
    found = judged({3: 200})
    assert found.evidence.verdict is Verdict.PASS
    wrong = [judged({3: 200}, 0.01, seed=s).evidence for s in range(20)]
    assert all(e.verdict is Verdict.PASS for e in wrong)


@pytest.mark.parametrize("late", [{3: 0}, {3: 50}, {3: 10, 4: 10}])
def test_rows_without_a_trusted_twin_wait(late):
    found = judged(late, forged=250).evidence
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "trusted rows have not come, or there are none" in found.arithmetic


def test_forged_rows_hide_in_no_windows_that_nobody_labelled():
    rows, trusted = window(9, 1)
    names = pa.array([f"forged-{i}" for i in range(300)])
    late = rows.slice(0, 300).set_column(0, "_key", names)
    at = np.arange(300) // 30  # a few in each of ten windows
    known = {**dict.fromkeys(range(10), (30, 0)), 10: (ROWS, DRAWN)}
    found = check_stragglers(late, at, rows.take(pa.array(trusted)), known, DEFINITION).evidence
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "0 of them are trusted, 26.1 expected" in found.arithmetic


@pytest.mark.parametrize(
    ("drawn", "elsewhere"), [(39, 0), (0, 0), (0, DRAWN), (DRAWN // 10, DRAWN)]
)
def test_where_the_trusted_path_was_cut_they_wait(drawn, elsewhere):
    found = judged({3: 50}, drawn=drawn, elsewhere=elsewhere).evidence
    assert found.verdict is Verdict.INCONCLUSIVE
    if not elsewhere:
        assert f"{drawn} trusted rows for these windows, 40 needed" in found.arithmetic


def test_windows_may_be_drawn_from_unevenly():
    assert judged({3: 300}, drawn=DRAWN * 2 // 3, elsewhere=DRAWN).evidence.verdict is Verdict.PASS


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 400), min_size=1, max_size=4))
def test_whoever_comes_late_honest_labels_pass(seed, counts):
    late = {3 + i: count for i, count in enumerate(counts)}
    assert judged(late, seed=seed).evidence.verdict is Verdict.PASS
