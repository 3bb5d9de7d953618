"""Stuck columns and lost classes in whole cycles: kept out, and learned from again afterwards."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.retrain import run_windows
from ratchet.contracts.columns import ACCEPTED, KEY, LABELS
from ratchet.contracts.evidence import Verdict
from tasks import quarantine, windows
from tests import streams

SOURCES = streams.PIPELINE.replace("features/**", "features/{source}/**")


def replaced(index: int, name: str, value: object) -> pa.Table:
    table = streams.window_rows(index)
    place = table.column_names.index(name)
    kind = table.schema.field(name).type
    return table.set_column(place, name, pa.array([value] * table.num_rows, kind))


def run(home: Path, damaged: dict[int, pa.Table], pipeline: str = streams.PIPELINE):
    streams.project(home, 0, pipeline)
    for index in range(7):
        streams.land_window(home, index, damaged.get(index))
    space = streams.quick(streams.workspace(home))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def by_check(decision):
    return {e.check: e for e in decision.evidence}


def test_fault_13_a_window_of_one_class_is_kept_out_whole(tmp_path):
    space, made = run(tmp_path, {3: replaced(3, "y", 1)})
    assert made[4].outcome == "blocked"
    assert "0 missing, which 3 windows before had" in made[4].reasons[0]
    assert made[4].labels_quarantined == streams.ROWS
    keys = set(streams.window_rows(3)["id"].to_pylist())
    assert not keys & set(space.tables.read(LABELS)[KEY].to_pylist())
    assert made[5].outcome != "blocked"


def test_a_stuck_column_is_kept_out_whole_and_never_becomes_what_is_usual(tmp_path):
    damaged = {i: replaced(i, "x", 0.25) for i in (3, 4)}
    space, made = run(tmp_path, damaged)
    for decision in made[3:5]:
        assert decision.outcome == "blocked"
        found = by_check(decision)["columns.stuck"]
        assert found.verdict is Verdict.BLOCK
        assert "x holds one value in 400 rows; in 3 windows before" in found.arithmetic
    assert quarantine.entries(space, only_open=True)[0]["check"] == "columns.stuck"
    accepted = space.tables.read(ACCEPTED)[KEY].to_pylist()
    assert not any(key.startswith(("k3-", "k4-")) for key in accepted)
    assert by_check(made[5])["columns.stuck"].verdict is Verdict.PASS


def test_rows_sent_again_under_new_keys_are_kept_out_whole(tmp_path):
    table = streams.window_rows(5)
    again = table.slice(0, 100)
    keys = pa.array([f"k5-again-{i}" for i in range(again.num_rows)])
    again = again.set_column(table.column_names.index("id"), "id", keys)
    space, made = run(tmp_path, {5: pa.concat_tables([table, again])})
    assert made[5].outcome == "blocked"
    found = by_check(made[5])["rows.duplicates"]
    assert found.verdict is Verdict.BLOCK
    assert "100 of 500 rows repeat the features of another under a new key" in found.arithmetic
    accepted = space.tables.read(ACCEPTED)[KEY].to_pylist()
    assert not any(key.startswith("k5-") for key in accepted)


def test_a_sender_that_stays_away_sticks_no_column_of_the_other(tmp_path):
    """Each sends one value of ``c``; without the second the first is as it always was."""
    streams.project(tmp_path, 0, SOURCES)
    for index in range(5):
        table = streams.window_rows(index)
        for name in ("a", "b") if index != 3 else ("a",):
            mine = table.filter(pc.equal(table["c"], name))
            streams.put(tmp_path, f"features/{name}/{index}.parquet", mine.drop_columns(["y"]))
        streams.put(tmp_path, f"labels/{index}.parquet", table.select(["id", "t", "y"]))
    space = streams.quick(streams.workspace(tmp_path))
    made = list(run_windows(space, windows.undecided(space, None, None)))
    found = by_check(made[3])["columns.stuck"]
    assert found.verdict is Verdict.PASS, found.arithmetic
    assert made[3].accepted == int(np.sum(streams.window_rows(3)["c"].to_numpy() == "a"))


def with_gaps(index: int, share: float) -> pa.Table:
    table = streams.window_rows(index)
    gone = np.arange(table.num_rows) < share * table.num_rows
    place = table.column_names.index("z")
    return table.set_column(place, "z", pa.array(table["z"].to_numpy(), mask=gone))


def test_missing_values_that_two_windows_before_had_are_no_jump(tmp_path):
    _, usual = run(
        tmp_path / "a", {1: with_gaps(1, 0.5), 2: with_gaps(2, 0.5), 5: with_gaps(5, 0.75)}
    )
    found = by_check(usual[5])["columns.nulls"]
    assert found.verdict is Verdict.WARN and "2 of 5 windows before" in found.arithmetic
    _, once = run(tmp_path / "b", {1: with_gaps(1, 0.5), 5: with_gaps(5, 0.75)})
    assert by_check(once[5])["columns.nulls"].verdict is Verdict.BLOCK
