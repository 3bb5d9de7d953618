"""Estimates without labels over whole small streams."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.retrain import run_windows
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict
from ratchet.watch import EXPECTED
from tasks import windows
from tasks.expected import expected
from tasks.watch import watch
from tests.streams import PIPELINE, land_window, project, quick, window_rows, workspace

ASKED = PIPELINE + "\n[watch]\nlabel_free = true\n"


def run(home: Path, replay: str | None = None):
    space = quick(workspace(home, replay))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def found_in(decision):
    return {e.check: e for e in decision.evidence}.get(EXPECTED)


def test_a_decision_says_what_is_expected_and_whether_to_believe_it(tmp_path: Path) -> None:
    project(tmp_path, 10, ASKED)
    for index in range(10, 13):
        land_window(tmp_path, index, window_rows(index, slope=0.5))  # the same inputs, other labels
    space, made = run(tmp_path)
    assert found_in(made[2]) is None  # no champion yet
    said = [found_in(d) for d in made]
    first = next(i for i, e in enumerate(said) if e is not None)
    assert made[first - 1].drift["expected"]["verdict"] == "INCONCLUSIVE"  # stops nothing
    calm = said[9]
    assert calm is not None
    assert calm.verdict is Verdict.PASS
    assert calm.details["rows"] == 400
    assert calm.measured == pytest.approx(made[10].champion["loss"], abs=0.1)
    # No test without labels sees it; once they come, the estimate says that it was wrong.
    blind, knows = said[10], said[11]
    assert blind is not None
    assert knows is not None
    assert blind.details["trusted"]
    assert not knows.details["trusted"]
    assert knows.verdict is Verdict.WARN
    read = {e.check: e for e in watch.fn(space)}[EXPECTED]
    assert read.verdict is Verdict.WARN
    _, again = run(tmp_path, "again")
    assert [d.digest for d in again] == [d.digest for d in made]


def test_only_who_asks_for_it_gets_it(tmp_path: Path) -> None:
    space = quick(project(tmp_path, 6))
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert all(found_in(d) is None and "expected" not in d.drift for d in made)
    assert EXPECTED not in {e.check for e in watch.fn(space)}
    plain = parse(PIPELINE)
    assert parse(PIPELINE + "\n[watch]\nlabel_free = false\n").digest == plain.digest
    assert parse(ASKED).digest != plain.digest


def test_where_nothing_can_be_estimated_it_says_why(tmp_path: Path) -> None:
    prompt = ASKED.replace("delay = 1000", "delay = 0")
    space, made = run_of(tmp_path / "prompt", prompt)
    read = expected(space, made, made[-1].champion_after or 1, made[-1].window_index)
    assert read.verdict is Verdict.INCONCLUSIVE
    assert "labels come with the rows" in read.arithmetic
    gone = expected(run_of(tmp_path / "gone", ASKED)[0], made, 99, 5)
    assert "no rows without labels" in gone.arithmetic


def test_a_regression_has_no_probabilities(tmp_path: Path) -> None:
    text = ASKED.replace('objective = "binary"\nclasses = [0, 1]', 'objective = "regression"')
    space = quick(project(tmp_path, 0, text))
    assert "needs two classes" in expected(space, [], 1, 5).arithmetic


def run_of(home: Path, text: str):
    project(home, 6, text)
    return run(home)
