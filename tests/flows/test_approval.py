"""A person has the last word where the pipeline says so."""

from __future__ import annotations

from pathlib import Path
from threading import Timer

import pytest

from flows.retrain import run_windows, settle
from ratchet.contracts.columns import DECISIONS
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import APPROVAL
from ratchet.errors import LeaseHeld, NotFound, Refused
from ratchet.gate import Answer, answered
from tasks import decisions, windows
from tasks.approve import ask
from tasks.verify import verify
from tests.streams import PIPELINE, at_work, land_window, project, quick

ASKING = PIPELINE.replace("[gate]", "[gate]\napproval = true")


def learned(home: Path, count: int):
    space = quick(project(home, count, ASKING))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def test_nothing_is_promoted_until_a_person_says_so(tmp_path: Path) -> None:
    space, made = learned(tmp_path, 4)
    asked = made[-1]
    assert asked.outcome == "held"
    assert asked.awaits_approval
    assert "ratchet approve 2000 -p tiny" in asked.reasons[0]
    assert space.registry.alias("tiny", "champion") is None
    assert ask(space, asked) is None  # no server: nothing pauses

    said = settle(space, None, approve=True, by="kim", reason="looks like last year")
    assert said.outcome == "promoted"
    assert said.lineage is not None and asked.lineage is not None
    assert said.lineage.model_digest == asked.lineage.model_digest
    proof = next(e for e in said.evidence if e.check == APPROVAL)
    assert proof.verdict is Verdict.PASS
    assert proof.arithmetic == "approved by kim: looks like last year"
    assert space.registry.alias("tiny", "champion").version == said.champion_after == 1
    assert all(e.verdict.lets_through for e in verify(space, 1))

    version = space.tables.version(DECISIONS)
    with pytest.raises(NotFound, match="does not wait"):
        settle(space, None, approve=True, by="kim", reason="again")
    assert space.tables.version(DECISIONS) == version


def test_an_answer_waits_for_a_run_that_is_at_work(tmp_path: Path) -> None:
    """A scheduled run may hold the lease for the seconds in which the person answers."""
    space, _ = learned(tmp_path, 4)
    answer = {"approve": False, "by": "kim", "reason": "odd"}
    with at_work(tmp_path, "a scheduled run") as end:
        with pytest.raises(LeaseHeld):
            settle(space, None, **answer)
        Timer(1.5, end).start()
        assert settle(space, None, **answer, patience=30).outcome == "blocked"


def test_no_is_recorded_and_blocks(tmp_path: Path) -> None:
    space, made = learned(tmp_path, 4)
    said = settle(space, made[-1].window, approve=False, by="kim", reason="odd carriers")
    assert said.outcome == "blocked"
    assert said.reasons[0] == "refused by kim: odd carriers"
    assert space.registry.alias("tiny", "champion") is None
    assert len(decisions.done(space)) == len(made) + 1


def test_a_later_window_overtakes_the_question(tmp_path: Path) -> None:
    space, made = learned(tmp_path, 4)
    land_window(tmp_path, 4)
    later = list(run_windows(space, windows.undecided(space, None, None)))
    assert later[-1].awaits_approval
    with pytest.raises(Refused, match="was overtaken by the decision on 3000"):
        settle(space, made[-1].window, approve=True, by="kim", reason="late")
    assert settle(space, None, approve=True, by="kim", reason="fine").outcome == "promoted"


def test_nobody_and_nothing_are_refused(tmp_path: Path) -> None:
    space, _ = learned(tmp_path, 2)
    with pytest.raises(Refused, match="who decides and why"):
        settle(space, None, approve=True, by=" ", reason="x")
    with pytest.raises(NotFound, match="does not wait"):
        settle(space, None, approve=True, by="kim", reason="x")


def test_another_model_is_not_the_one_that_was_approved() -> None:
    yes = Answer(True, "kim", "fine", "a" * 64)
    assert answered(yes, "a" * 64).verdict is Verdict.PASS
    other = answered(yes, "b" * 64)
    assert other.verdict is Verdict.ERROR
    assert "judged model aaaaaaaaaaaa" in other.arithmetic
