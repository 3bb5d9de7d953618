"""Faults 22, 23 and 33: killed after each side effect of a cycle, and two runs at once."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from flows.retrain import one_cycle
from ratchet.contracts.columns import (
    ACCEPTED,
    ACCOUNTS,
    DECISIONS,
    KEY,
    LABELS,
    REVOCATIONS,
    TRUSTED,
    WINDOW,
)
from ratchet.errors import LeaseHeld
from tasks import decisions
from tests import crash
from tests.streams import (
    MIXED,
    PIPELINE,
    land_sources,
    land_trusted,
    land_window,
    no_reports,
    project,
    quick,
    workspace,
)


def prepared(home: Path, mlflow: bool, pipeline: str = PIPELINE) -> Path:
    """Two windows decided, two more landed: the next run decides one that promotes."""
    project(home, 3, pipeline)
    code, (made, _) = crash.run(home, mlflow=mlflow)
    assert code == 0
    assert [m[0] for m in made] == ["0", "1000"]
    land_window(home, 3)
    return home


def state(home: Path, mlflow: bool) -> dict[str, object]:
    """All that must be there once, however often the run was killed."""
    space = no_reports(workspace(home)) if mlflow else quick(workspace(home))
    accepted, labels = space.tables.read(ACCEPTED), space.tables.read(LABELS)
    made = decisions.done(space)
    champion = space.registry.alias("tiny", "champion")
    phases = space.tables.read(DECISIONS).to_pylist()
    return {
        "accepted": sorted(accepted[KEY].to_pylist()),
        "labels": sorted(labels[KEY].to_pylist()),
        "decisions": [(d.window, d.outcome, d.candidate, d.champion_after) for d in made],
        "phases": [(p["window_label"], p["phase"]) for p in phases],
        "versions": [v.version for v in space.registry.versions("tiny")],
        "champion": champion.version if champion else None,
    }


def kill_everywhere(template: Path, scratch: Path, mlflow: bool, before: str | None = None) -> None:
    """After each side effect, or only after those before the first of this name."""
    whole = scratch / "whole"
    shutil.copytree(template, whole)
    code, (made, effects) = crash.run(whole, mlflow=mlflow)
    assert code == 0
    assert [m[:2] for m in made] == [("2000", "promoted")]
    expected = state(whole, mlflow)
    assert expected["versions"] == [1]
    assert expected["champion"] == 1
    assert expected["phases"][-2:] == [("2000", "intent"), ("2000", "done")]
    assert len(effects) >= 12
    last = len(effects) if before is None else effects.index(before)
    for n in range(1, last + 1):
        home = scratch / f"killed-{n}"
        shutil.copytree(template, home)
        code, _ = crash.run(home, mlflow=mlflow, kill_after=n)
        assert code == -9, f"not killed after effect {n}"
        space = no_reports(workspace(home)) if mlflow else quick(workspace(home))
        serving = space.registry.alias("tiny", "champion")
        if serving is not None:  # whatever serves was gated, and it loads
            assert space.registry.load("tiny", serving.version).manifest.lineage.window == "2000"
        code, _ = crash.run(home, mlflow=mlflow)
        assert code == 0
        assert state(home, mlflow) == expected, f"killed after effect {n}: {effects[n - 1]}"
        shutil.rmtree(home)


def test_fault_22_and_23_killed_after_each_side_effect(tmp_path: Path) -> None:
    template = prepared(tmp_path / "template", mlflow=False)
    kill_everywhere(template, tmp_path, mlflow=False)


@pytest.mark.slow
def test_fault_22_and_23_killed_after_each_side_effect_with_mlflow(tmp_path: Path) -> None:
    template = prepared(tmp_path / "template", mlflow=True)
    kill_everywhere(template, tmp_path, mlflow=True)


def test_fault_22_killed_after_each_side_effect_of_a_mixture(tmp_path: Path) -> None:
    template = prepared(tmp_path / "template", mlflow=False, pipeline=MIXED)
    kill_everywhere(template, tmp_path, mlflow=False, before="open_run")  # the rest is as above


DEFENDED = PIPELINE + '\n[trusted]\nobjects = "trusted/**"\nmin_rows = 40\n'


def shield_state(home: Path) -> dict[str, object]:
    """What the shield keeps besides."""
    tables = quick(workspace(home)).tables
    lines = tables.read(ACCOUNTS).to_pylist()
    return {
        "trusted": sorted(line[KEY] for line in tables.read(TRUSTED).to_pylist()),
        "accounts": [(line["source"], line[WINDOW], line["state"]) for line in lines],
        "revocations": [(r["source"], r["status"]) for r in tables.read(REVOCATIONS).to_pylist()],
    }


def test_fault_22_killed_after_each_side_effect_of_a_defended_cycle(tmp_path: Path) -> None:
    template = tmp_path / "template"
    project(template, 3, DEFENDED)
    for index in range(4):
        land_trusted(template, index)
    assert crash.run(template)[0] == 0
    land_window(template, 3)
    whole = tmp_path / "whole"
    shutil.copytree(template, whole)
    code, (made, effects) = crash.run(whole)
    assert code == 0
    assert [m[0] for m in made] == ["2000"]
    expected = {**state(whole, False), **shield_state(whole)}
    assert expected["accounts"]
    for n in range(1, len(effects) + 1):
        home = tmp_path / f"killed-{n}"
        shutil.copytree(template, home)
        assert crash.run(home, kill_after=n)[0] == -9, f"not killed after effect {n}"
        assert crash.run(home)[0] == 0
        found = {**state(home, False), **shield_state(home)}
        assert found == expected, f"killed after effect {n}: {effects[n - 1]}"
        shutil.rmtree(home)


def test_fault_22_killed_after_each_side_effect_of_a_revocation(tmp_path: Path) -> None:
    """Done again by the same command, it is done once: one line, one model more, one champion."""
    template = tmp_path / "template"
    project(template, 0, PIPELINE.replace('"features/**"', '"features/{source}/**"'))
    for index in range(6):
        land_sources(template, index, {"good": 300, "bad": 100})
    assert crash.run(template)[0] == 0
    whole = tmp_path / "whole"
    shutil.copytree(template, whole)
    code, (made, effects) = crash.run(whole, revoke="bad")
    assert code == 0
    assert len(made) == 1
    expected = {**state(whole, False), **shield_state(whole)}
    assert expected["revocations"] == [("bad", "revoked")]
    for n in range(1, len(effects) + 1):
        home = tmp_path / f"killed-{n}"
        shutil.copytree(template, home)
        assert crash.run(home, kill_after=n, revoke="bad")[0] == -9, f"not killed after effect {n}"
        assert crash.run(home, revoke="bad")[0] == 0
        found = {**state(home, False), **shield_state(home)}
        assert found == expected, f"killed after effect {n}: {effects[n - 1]}"
        shutil.rmtree(home)


def test_fault_33_two_runs_of_one_window_at_once(tmp_path: Path) -> None:
    project(tmp_path, 4)
    outcomes: list[str] = []
    gate = threading.Barrier(4)

    def attempt() -> None:
        space = quick(workspace(tmp_path))
        gate.wait()
        try:
            outcomes.append(one_cycle(space, space.calendar.parse(2000)).outcome)
        except LeaseHeld:
            outcomes.append("lost")

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "promoted" in outcomes
    assert set(outcomes) <= {"promoted", "lost"}
    found = state(tmp_path, mlflow=False)
    assert len(found["decisions"]) == 1
    assert found["versions"] == [1]
    assert len(found["accepted"]) == len(set(found["accepted"])) == 3 * 400


def test_fault_28_and_33_a_killed_holder_frees_the_pipeline_at_once(tmp_path: Path) -> None:
    template = prepared(tmp_path / "template", mlflow=False)
    code, _ = crash.run(template, kill_after=3)
    assert code == -9
    code, (made, _) = crash.run(template)
    assert code == 0
    assert [m[:2] for m in made] == [("2000", "promoted")]
