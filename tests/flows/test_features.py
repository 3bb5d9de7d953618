"""Features that are declared, or taken back, while a pipeline lives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flows.retrain import run_windows
from ratchet.contracts.columns import ACCEPTED, LANDED
from tasks import windows
from tasks.rollback import prove
from tasks.verify import verify
from tests.streams import (
    MIXED,
    PIPELINE,
    land_trusted,
    land_window,
    project,
    quick,
    window_rows,
    workspace,
)


def declare(home: Path, base: str, *, without: str = "") -> None:
    """The pipeline's file and its rules, with one feature less."""
    text = base
    if without:
        line = next(s for s in base.splitlines() if s.startswith(f"{without} = "))
        ignore = f'features = "features/**"\nignore = ["{without}"]'
        text = text.replace(f"{line}\n", "").replace('features = "features/**"', ignore)
    (home / "pipelines" / "tiny.toml").write_text(text)
    suite = home / "expectations" / "tiny.json"
    rules = json.loads(suite.read_text())
    kept = [e for e in rules["expectations"] if f'"{without}"' not in json.dumps(e["kwargs"])]
    suite.write_text(json.dumps({**rules, "expectations": kept}))


def run(home: Path, first: int, end: int, leak: bool = False, trusted: bool = False):
    """Windows ``[first, end)``; with ``leak`` their ``z`` follows the outcome."""
    for index in range(first, end):
        rows = window_rows(index, rows=600, slope=1.0)
        if leak:
            told = rows["y"].to_numpy() + np.random.default_rng(index).normal(0, 0.45, 600)
            rows = rows.set_column(rows.schema.get_field_index("z"), "z", pa.array(told))
        land_window(home, index, rows)
        if trusted:
            land_trusted(home, index, truth=rows)
    space = quick(workspace(home))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


@pytest.mark.parametrize("base", [PIPELINE, MIXED], ids=["recipes", "mixture"])
def test_a_feature_that_is_taken_back_is_missing_for_the_champion_too(
    tmp_path: Path, base: str
) -> None:
    project(tmp_path, 0, base)
    _, made = run(tmp_path, 0, 6)
    champion = made[-1].champion_after
    assert champion is not None
    declare(tmp_path, base, without="x")  # what the champion leans on
    space, made = run(tmp_path, 6, 9)
    assert len(made) == 3
    assert all(d.champion["auc"] < 0.6 for d in made[1:])  # it knew nothing but x
    (told,) = (e for e in made[-1].evidence if e.check == "columns.withdrawn")
    assert told.arithmetic.startswith("the champion learned from x, declared no more")
    assert {d.champion_after for d in made} == {champion}  # nothing else knows more
    assert space.model(champion).without == {"x"}
    assert space.registry.load("tiny", champion).without == frozenset()
    prove(space, champion)  # a rollback asks it as it was made
    said = [e.arithmetic for e in verify(space, champion) if not e.verdict.lets_through]
    assert any("its features are no longer those of this version" in text for text in said)


def test_trusted_rows_are_compared_as_ever_where_a_feature_was_taken_back(tmp_path: Path) -> None:
    base = f'{PIPELINE}\n[trusted]\nobjects = "trusted/**"\nmin_rows = 50\n'
    project(tmp_path, 0, base)
    _, made = run(tmp_path, 0, 6, trusted=True)
    assert made[-1].champion_after is not None
    declare(tmp_path, base, without="z")
    space, made = run(tmp_path, 6, 8, trusted=True)
    assert space.model(made[-1].champion_after).without == {"z"}
    checks = {e.check: e.verdict for e in made[-1].evidence}
    compared = {"control.labels", "control.match", "control.features", "control.classifier"}
    assert compared <= checks.keys()
    assert all(v.lets_through for name, v in checks.items() if name.startswith("control."))
    assert "gate.trusted" in checks
    random = np.random.default_rng(8)
    turned = window_rows(8, rows=600, slope=1.0)
    lies = np.where(random.random(600) < 0.3, 1 - turned["y"].to_numpy(), turned["y"].to_numpy())
    land_trusted(tmp_path, 8, truth=turned)
    land_window(tmp_path, 8, turned.set_column(turned.column_names.index("y"), "y", pa.array(lies)))
    _, made = run(tmp_path, 9, 11, trusted=True)
    assert "blocked" in {d.outcome for d in made}
    assert any("differ from the trusted row" in r for d in made for r in d.reasons)


def test_where_a_leak_is_taken_back_the_others_do_not_seem_to_jump(tmp_path: Path) -> None:
    base = PIPELINE.replace("[gate]", "[gate]\nshortcuts = true")
    project(tmp_path, 0, base)
    _, made = run(tmp_path, 0, 6, leak=True)
    champion = made[-1].champion_after
    assert champion is not None
    declare(tmp_path, base, without="z")
    space, made = run(tmp_path, 6, 10)
    assert [d.outcome for d in made if any(e.details.get("doubt") for e in d.evidence)] == []
    assert made[-1].champion_after != champion
    assert space.model(made[-1].champion_after).without == frozenset()


@pytest.mark.parametrize("base", [PIPELINE, MIXED], ids=["recipes", "mixture"])
def test_a_feature_that_is_declared_later_is_missing_in_earlier_rows(
    tmp_path: Path, base: str
) -> None:
    project(tmp_path, 0, base)
    declare(tmp_path, base, without="z")
    _, made = run(tmp_path, 0, 6)
    champion = made[-1].champion_after
    assert champion is not None
    declare(tmp_path, base)
    space, made = run(tmp_path, 6, 9)
    assert [d.outcome for d in made if d.outcome == "blocked"] == []
    newest = made[-1].lineage
    assert newest is not None and all(d.champion["auc"] > 0.6 for d in made)
    for name in (ACCEPTED, LANDED):
        rows = (space.tables if name == ACCEPTED else space.landing_tables).read(name, ["z"])
        assert rows["z"].null_count == 6 * 600
        assert rows.num_rows > 7 * 600
