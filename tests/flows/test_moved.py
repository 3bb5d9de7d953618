"""A stream whose world turns, and nobody to ask: blocked, looked at together, learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.retrain import run_windows
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision
from tasks import quarantine, windows
from tasks.workspace import Workspace
from tests.streams import PIPELINE, land_window, project, quick, window_rows, workspace

TURNS = 5
NEVER = PIPELINE.replace("min_rows = 50", "min_rows = 50\nmoved_after = 0", 1)


def turned(index: int) -> pa.Table:
    return window_rows(index, slope=2.0 if index < TURNS else -3.0)


def noise(index: int) -> pa.Table:
    """From then on the labels are drawn by lot."""
    table = window_rows(index)
    if index < TURNS:
        return table
    lots = np.random.default_rng(index).integers(0, 2, table.num_rows)
    return table.set_column(table.column_names.index("y"), "y", pa.array(lots))


def play(home: Path, world, pipeline: str = PIPELINE) -> tuple[Workspace, dict[str, Decision]]:
    project(home, 0, pipeline)
    for index in range(13):
        land_window(home, index, world(index))
    space = quick(workspace(home))
    made = list(run_windows(space, windows.undecided(space, None, None)))
    return space, {d.window: d for d in made}


def agreement(decision: Decision) -> Evidence:
    return next(e for e in decision.evidence if e.check == "labels.agreement")


def test_the_third_window_in_a_row_is_learned_from_and_the_champion_follows(tmp_path: Path) -> None:
    space, made = play(tmp_path, turned)
    first = [f"{TURNS + i}000" for i in (1, 2)]  # labels come a window later
    for number, window in enumerate(first, 1):
        assert agreement(made[window]).verdict is Verdict.BLOCK
        assert f"number {number} in a row; from 3 on" in agreement(made[window]).arithmetic
        assert made[window].champion_after == made[window].champion_before
    third = agreement(made["8000"])
    assert third.verdict is Verdict.WARN
    assert "the world has moved, or whoever sends every label lies" in third.arithmetic
    assert made["11000"].champion_after != made["8000"].champion_before
    assert made["11000"].champion["auc"] > 0.8
    held = quarantine.entries(space, only_open=True)
    assert {e["window"] for e in held} == set(first), "what was blocked stays for a person"


@pytest.mark.parametrize(("world", "pipeline"), [(noise, PIPELINE), (turned, NEVER)])
def test_noise_is_never_learned_from_and_nothing_is_where_a_person_decides(
    tmp_path: Path, world, pipeline: str
) -> None:
    _, made = play(tmp_path, world, pipeline)
    after = [d for window, d in made.items() if int(window) > TURNS * 1000]
    assert len(after) == 6
    for decision in after:
        assert agreement(decision).verdict is Verdict.BLOCK
        assert decision.champion_after == decision.champion_before
