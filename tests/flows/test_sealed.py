"""Sealed rows through whole cycles: nothing learns from them, and each is read once."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from flows.retrain import run_windows, settle
from ratchet.contracts.columns import SEAL, WINDOW, seal_schema
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision
from ratchet.contracts.sealed import Seal
from ratchet.contracts.seams import Append
from ratchet.register import decision_page, describe, run_metrics
from tasks import windows
from tasks.gate import gate
from tasks.recover import begin
from tasks.sealed import sealed_mask
from tasks.self_train import self_train
from tasks.verify import verify
from tests.streams import MIXED, PIPELINE, land_window, project, quick, window_rows, workspace

SHARE = 0.3
PART = f"\n[sealed]\nshare = {SHARE}\nmin_rows = 50\nmargin = 0.05\n"
SEALED, MIXTURE = PIPELINE + PART, MIXED + PART
SECRET = bytes(range(32))


def run(home: Path, replay: str | None = None):
    space = quick(workspace(home, replay))
    return list(run_windows(space, windows.undecided(space, None, None)))


def sealed_project(home: Path, count: int, pipeline: str = SEALED) -> None:
    """A project with this many windows, whose secret is known beforehand."""
    space = project(home, count, pipeline)
    line = pa.Table.from_pylist([{WINDOW: 0, "secret": SECRET.hex()}], seal_schema())
    space.landing_tables.append(Append(SEAL, line, "seal"))


def poisoned(index: int) -> pa.Table:
    """A window in which every sealed row has another label, other numbers and another category."""
    rows = window_rows(index)
    mask = Seal(SECRET, SHARE).mask(rows["id"])
    parts = rows.to_pylist()
    for row, sealed in zip(parts, mask, strict=True):
        if sealed:
            row |= {"x": -row["x"], "z": row["z"] / 2, "c": "sealed", "y": row["t"] % 2}
    return pa.Table.from_pylist(parts, rows.schema)


def learned(decision):
    """All that was learned and chosen, to the byte."""
    lineage = decision.lineage
    made = lineage and (lineage.model_digest, lineage.data_digest, lineage.rows, lineage.members)
    return decision.window, decision.recipe, decision.recipe_losses, decision.candidate, made


@pytest.mark.parametrize("pipeline", [SEALED, MIXTURE], ids=["recipes", "mixture"])
def test_fault_21_whatever_sealed_rows_say_the_candidates_are_the_same_to_the_byte(
    tmp_path: Path, pipeline: str
) -> None:
    clean, dirty = tmp_path / "clean", tmp_path / "dirty"
    for home, rows in ((clean, window_rows), (dirty, poisoned)):
        sealed_project(home, 0, pipeline)
        for index in range(6):
            land_window(home, index, rows(index))
    one, two = run(clean), run(dirty)
    assert [d.accepted for d in two] == [400] * 5
    assert [learned(d) for d in one] == [learned(d) for d in two]
    assert sum(d.lineage is not None for d in one) == 3
    (first,) = (d for d in one if d.outcome == "promoted" and d.champion_before is None)
    (same,) = (d for d in two if d.window == first.window)
    passed, stopped = (
        {e.check: e for e in d.evidence if e.check.startswith("gate.")} for d in (first, same)
    )
    assert passed.pop("gate.sealed").verdict is Verdict.PASS
    assert not stopped.pop("gate.sealed").verdict.lets_through
    assert passed == stopped  # only the sealed rows could tell


def test_a_reading_is_entered_in_the_ledger_and_all_else_costs_nothing(tmp_path: Path) -> None:
    sealed_project(tmp_path, 8)
    made = run(tmp_path)
    before: dict[str, object] = {}
    for decision in made:
        read = [e for e in decision.evidence if e.check == "gate.sealed" and "account" in e.details]
        kept = decision.ledger.get("sealed", {})
        if not read:
            assert kept == before
        else:
            assert kept == read[0].details["account"]
            assert "gate.sealed" in describe(decision)
            assert "30% of all rows, left out" in describe(decision)
            assert "30% of all rows, left out of training" in decision_page(decision)
        before = dict(kept)
    assert before["readings"] == sum(d.outcome == "promoted" for d in made) == 2
    assert before["failed"] == 0
    space = quick(workspace(tmp_path))
    rows = space.tables.read("accepted")
    assert sealed_mask(space, rows).mean() == pytest.approx(SHARE, abs=0.05)
    assert [e.verdict for e in verify(space, 2)] == ["PASS"] * 4


def test_a_replay_seals_the_same_rows_and_comes_to_the_same_decisions(tmp_path: Path) -> None:
    project(tmp_path, 7, SEALED)
    live, one, two = run(tmp_path), run(tmp_path, "one"), run(tmp_path, "two")
    assert [d.digest for d in one] == [d.digest for d in two]
    assert [d.ledger for d in one] == [d.ledger for d in live]
    assert [learned(d) for d in one] == [learned(d) for d in live]


def test_what_was_trained_before_rows_were_sealed_is_still_rebuilt(tmp_path: Path) -> None:
    project(tmp_path, 4)
    assert run(tmp_path)[-1].outcome == "promoted"
    assert workspace(tmp_path).landing_tables.version(SEAL) == -1  # nothing is drawn unasked
    home = tmp_path / "pipelines" / "tiny.toml"
    home.write_text(SEALED)
    land_window(tmp_path, 4)
    (after,) = run(tmp_path)
    assert after.lineage.sealed_share == SHARE
    space = quick(workspace(tmp_path))
    found = {e.check: e.verdict for e in verify(space, 1)}
    assert found["verify.rows"] == found["verify.model"] == "PASS"


def test_rows_that_one_decision_read_are_closed_to_the_next(tmp_path: Path) -> None:
    sealed_project(tmp_path, 4, SEALED)
    made = run(tmp_path)
    assert made[-1].outcome == "promoted"
    space = quick(workspace(tmp_path))
    cycle = begin(space, space.calendar.window(2), again="once more")
    cycle.champion = cycle.champion_bundle = None  # as if it had to be replaced at once
    self_train.fn(cycle)
    gate.fn(cycle)
    closed = cycle.gate_evidence[-1]
    assert (closed.check, closed.verdict) == ("gate.sealed", Verdict.INCONCLUSIVE)
    assert "closed: 0 sealed rows that no decision has read (1" in closed.arithmetic
    assert "labels of rows from 2000 on" in closed.arithmetic
    assert cycle.ledger["sealed"] == made[-1].ledger["sealed"]


def test_an_approval_repeats_the_reading_and_pays_once(tmp_path: Path) -> None:
    sealed_project(tmp_path, 4, SEALED.replace("[gate]", "[gate]\napproval = true"))
    asked = run(tmp_path)[-1]
    assert asked.awaits_approval
    space = quick(workspace(tmp_path))
    said = settle(space, None, approve=True, by="Ada", reason="seen")
    assert said.outcome == "promoted"
    assert said.ledger["sealed"] == asked.ledger["sealed"]
    assert said.ledger["sealed"]["readings"] == 1


def test_status_says_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ratchet.cli import look

    sealed_project(tmp_path, 4, SEALED)
    run(tmp_path)
    space = quick(workspace(tmp_path))
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda *_: space)
    said = CliRunner().invoke(look.status, ["-p", "tiny"]).output
    assert "sealed      1 reading of" in said
    assert "0 failed; 0.0500 of alpha 0.05 left" in said


def test_fault_22_a_cycle_killed_after_its_reading_pays_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed_project(tmp_path, 4)

    def killed(decision: Decision) -> dict[str, float]:
        if decision.outcome == "promoted":  # the gate has read by then
            raise KeyboardInterrupt
        return run_metrics(decision)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("tasks.register.core.run_metrics", killed)
        run(tmp_path)
    (made,) = run(tmp_path)
    assert (made.window, made.outcome) == ("2000", "promoted")
    assert made.ledger["sealed"]["readings"] == 1
