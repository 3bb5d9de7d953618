"""The watch over whole small streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.retrain import run_windows
from ratchet.contracts.columns import INCIDENTS
from ratchet.contracts.evidence import Verdict
from ratchet.errors import NotFound
from tasks import decisions, windows
from tasks.watch import act, watch
from tests.streams import PIPELINE, land_window, project, quick, window_rows


def run(space):
    return list(run_windows(space, windows.undecided(space, None, None)))


def verdicts(found):
    return {e.check: e.verdict for e in found}


def promoted_twice(home: Path, pipeline: str = PIPELINE):
    """A stream whose champion has one before it."""
    space = quick(project(home, 8, pipeline.replace("[gate]", "[gate]\nalpha = 0.4")))
    made = run(space)
    champions = [d for d in made if d.outcome == "promoted"]
    assert len(champions) >= 2, [d.outcome for d in made]
    return space, made


def test_nothing_decided_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no window is decided yet"):
        watch.fn(quick(project(tmp_path, 2)))


def test_a_healthy_pipeline_passes(tmp_path: Path) -> None:
    space, _ = promoted_twice(tmp_path)
    found = watch.fn(space)
    assert all(e.verdict.lets_through or e.verdict is Verdict.INCONCLUSIVE for e in found)
    assert act(space, found) is None
    assert space.tables.read(INCIDENTS).num_rows == 0


def test_45_an_alias_moved_by_hand_is_an_incident_once(tmp_path: Path) -> None:
    space, made = promoted_twice(tmp_path)
    served = [d.champion_after for d in made if d.champion_after]
    space.registry.set_alias("tiny", "champion", served[0])
    for _ in range(2):
        assert verdicts(watch.fn(space))["watch.champion"] is Verdict.BLOCK
    (incident,) = space.tables.read(INCIDENTS).to_pylist()
    assert incident["kind"] == "watch.champion"
    assert "moved the alias by hand" in incident["summary"]


def test_a_champion_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    promoted_twice(tmp_path)
    for model in (tmp_path / "state").rglob("model.ubj"):
        model.write_bytes(model.read_bytes()[:-1] + b"x")
    found = watch.fn(quick(project(tmp_path, 0)))
    loads = [e for e in found if e.check == "watch.loads"]
    assert [e.verdict for e in loads] == [Verdict.ERROR, Verdict.ERROR]
    assert "cannot serve" in loads[0].arithmetic


def test_a_worse_champion_goes_back_where_the_pipeline_says_so(tmp_path: Path) -> None:
    asking = PIPELINE.replace("[gate]", "[watch]\nrollback = true\n\n[gate]")
    space, made = promoted_twice(tmp_path, asking)
    move = [d for d in made if d.champion_after != d.champion_before][-1]
    # The champion learned a world in which y follows x; from now on it runs the other way, and the
    # one before it is replaced by a model that says nothing, which is better than that.
    for index in range(move.window_index + 1, move.window_index + 4):
        rows = window_rows(index, slope=-2.0)
        land_window(tmp_path, index, rows)
    run(space)
    found = watch.fn(space)
    skill = next(e for e in found if e.check == "watch.skill")
    assert skill.measured is not None
    accused = [replace(skill, verdict=Verdict.BLOCK)]
    back = act(space, accused)
    assert back is not None and back.is_rollback
    assert "by watch" in back.reasons[0]
    assert space.registry.alias("tiny", "champion").version == back.champion_after
    assert decisions.done(space)[-1].digest == back.digest
    assert np.isfinite(skill.measured)
