"""Rows that came when their label was known already, through whole cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from flows.retrain import run_windows, settle
from ratchet.cli.look import _asked
from ratchet.contracts.evidence import Verdict
from tasks import windows
from tasks.recover import begin
from tasks.self_train import self_train
from tasks.shortcut import shortcut_input
from tasks.verify import verify
from tests.streams import PIPELINE, land_window, project, put, quick, window_rows, workspace

WATCHFUL = PIPELINE.replace("[gate]", "[gate]\nshortcuts = true")


def run(home: Path):
    space = quick(workspace(home))
    return list(run_windows(space, windows.undecided(space, None, None)))


def leak(home: Path, index: int) -> None:
    """A window in which ``z`` follows the outcome."""
    rows = window_rows(index, rows=600, slope=1.0)
    random = np.random.default_rng(index)
    written = 2 * rows["y"].to_numpy() - 1 + random.normal(0, 0.7, rows.num_rows)
    place = rows.schema.get_field_index("z")
    land_window(home, index, rows.set_column(place, "z", pa.array(written)))


def test_late_rows_are_told_from_those_that_were_known_before_their_label(tmp_path: Path) -> None:
    project(tmp_path, 0, WATCHFUL)
    rows = window_rows(1, rows=600)
    for index in range(4):
        land_window(tmp_path, index, rows.slice(0, 450) if index == 1 else None)
    (first,) = (d for d in run(tmp_path) if d.window == "2000")
    (found,) = (e for e in first.evidence if e.check == "gate.shortcut")
    assert found.verdict is Verdict.PASS
    assert "x carries" in found.arithmetic
    assert found.details["late_rows"] == 0
    put(tmp_path, "features/late.parquet", rows.slice(450).drop(["y"]))
    put(tmp_path, "labels/late.parquet", rows.slice(450).select(["id", "t", "y"]))
    land_window(tmp_path, 4)
    run(tmp_path)
    space = quick(workspace(tmp_path))
    cycle = begin(space, space.calendar.window(3), again="once more")
    self_train.fn(cycle)
    asked = shortcut_input(cycle)
    assert len(asked.y) == asked.rows.num_rows == len(asked.late) > 1200
    assert (asked.events[asked.held] >= cycle.judged_cut().holdout_from).all()
    assert 0 < asked.held.sum() < len(asked.held)
    assert asked.before is not None


def test_a_feature_that_suddenly_carries_the_model_waits_for_a_person(tmp_path: Path) -> None:
    """A leak in rows that claim to be early cannot be told from drift by numbers alone."""
    project(tmp_path, 0, WATCHFUL)
    for index in range(4):
        land_window(tmp_path, index, window_rows(index, rows=600, slope=1.0))
    made = run(tmp_path)
    for index in range(4, 10):
        leak(tmp_path, index)
        made += run(tmp_path)
    asked = made[-1]
    assert asked.awaits_approval
    assert "waits for a person" in asked.reasons[0]
    assert "gate.shortcut: z carries" in asked.reasons[0]
    leaning = [d for d in made if any(e.details.get("doubt") for e in d.evidence)]
    assert all(d.outcome in ("held", "blocked") for d in leaning)
    assert asked.ledger["doubts"] == {"z": leaning[0].window}
    learned = workspace(tmp_path).definition
    assert _asked(learned, made) == {"waits": asked.window, "doubts": asked.ledger["doubts"]}
    without = learned.model_copy(update={"features": {"x": "number"}})
    assert _asked(without, made) == {"waits": asked.window}
    space = quick(workspace(tmp_path))
    refused = settle(space, None, approve=False, by="kim", reason="who writes z?")
    assert refused.ledger["doubts"] == asked.ledger["doubts"]
    land_window(tmp_path, 10, window_rows(10, rows=600, slope=1.0))  # z is as it was before
    land_window(tmp_path, 11, window_rows(11, rows=600, slope=1.0))
    assert all(d.outcome in ("held", "blocked") for d in run(tmp_path))
    made = []
    for index in range(12, 18):
        leak(tmp_path, index)
        made += run(tmp_path)
    assert all(d.outcome in ("held", "blocked") for d in made)
    assert (asked := made[-1]).awaits_approval
    assert f"in doubt since {leaning[0].window}" in asked.reasons[0]
    space = quick(workspace(tmp_path))
    said = settle(space, None, approve=True, by="kim", reason="z is measured since May")
    assert said.outcome == "promoted"
    assert "doubts" not in said.ledger
    assert _asked(learned, [said]) == {}
    assert all(e.verdict.lets_through for e in verify(space, said.champion_after))
