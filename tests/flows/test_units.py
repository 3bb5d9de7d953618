"""A stream in another unit: the loop decides the same, and what it made can be derived again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.retrain import run_windows
from ratchet.contracts.lineage import Decision
from tasks import windows
from tasks.verify import verify
from tasks.workspace import Workspace
from tests.streams import MIXED, land_window, project, quick, window_rows, workspace

NUMBERS = MIXED.replace('"binary"', '"regression"').replace("classes = [0, 1]", "")
NUMBERS = NUMBERS.replace("slices =", "floor = 0.1\nslices =")


def run(home: Path, factor: float) -> tuple[Workspace, list[Decision]]:
    """Six windows whose target is a number, times a factor."""
    project(home, 0, NUMBERS)
    for index in range(6):
        table = window_rows(index)
        noise = np.random.default_rng(index).normal(size=table.num_rows)
        y = pa.array(factor * (table["x"].to_numpy() * 2 + noise))
        land_window(home, index, table.set_column(table.column_names.index("y"), "y", y))
    space = quick(workspace(home))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def test_the_loop_decides_alike_in_any_unit_and_verify_agrees(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", 1.0)[1]
    assert "promoted" in [d.outcome for d in plain]
    for factor in (1e-6, 1e6):
        space, made = run(tmp_path / f"{factor:g}", factor)
        assert [d.outcome for d in made] == [d.outcome for d in plain]
        for ours, theirs in zip(made, plain, strict=True):
            assert ours.candidate.get("r2", 0.0) == pytest.approx(
                theirs.candidate.get("r2", 0.0), abs=1e-3
            )
            loss, other = (d.candidate.get("loss", 0.0) for d in (ours, theirs))
            assert loss / factor**2 == pytest.approx(other, rel=2e-3)
        version = next(d.champion_after for d in made if d.champion_after)
        assert all(e.verdict.lets_through for e in verify(space, version))
