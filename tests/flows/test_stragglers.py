"""Labels that are kept back and come with another window's batch are compared all the same."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flows.retrain import run_windows
from ratchet.contracts.columns import ACCEPTED, ACCOUNTS, KEY, LABELS
from ratchet.contracts.evidence import Verdict
from tasks import quarantine, windows
from tasks.labelled import span_of
from tests import streams

DEFENDED = streams.PIPELINE + '\n[trusted]\nobjects = "trusted/**"\nmin_rows = 40\n'
LATE, KEPT_BACK = 3, 60  # of window 3, this many labels come with window 4's
FEW = 16  # rows of it that come after their labels; of more, the window would be blocked


def turned(table: pa.Table) -> pa.Table:
    y = pa.array(1 - table["y"].to_numpy())
    return table.set_column(table.column_names.index("y"), "y", y)


def dated(table: pa.Table, index: int) -> pa.Table:
    """The labels with the time of another window's."""
    times = table["t"].to_numpy() + (index - LATE) * streams.WINDOW
    return table.set_column(table.column_names.index("t"), "t", pa.array(times))


def forged(count: int) -> pa.Table:
    table = streams.window_rows(LATE).slice(0, count)
    names = pa.array([f"forged-{i}" for i in range(count)])
    return table.set_column(0, "id", names).set_column(5, "y", pa.array([1] * count))


def run(home: Path, late: pa.Table, rows: pa.Table | None = None):
    """The tiny stream; ``late`` are labels of window 3, of ``rows``, that come with window 4's."""
    streams.project(home, 0, DEFENDED)
    kept = pa.array(np.isin(streams.window_rows(LATE)["id"], late["id"].to_pylist()))
    space = streams.quick(streams.workspace(home))
    made = []
    for index in range(8):
        table = streams.window_rows(index)
        streams.land_trusted(home, index)
        labels = table.select(["id", "t", "y"])
        if index == LATE:
            labels = labels.filter(pc.invert(kept))
            table = table if rows is None else pa.concat_tables([table, rows])
        streams.put(home, f"features/w{index:03d}.parquet", table.drop_columns(["y"]))
        streams.put(home, f"labels/w{index:03d}.parquet", labels)
        if index == LATE + 2:
            made += run_windows(space, windows.undecided(space, None, None))
            streams.put(home, "labels/late.parquet", late.select(["id", "t", "y"]))
    made += run_windows(space, windows.undecided(space, None, None))
    return space, {d.window_index: d for d in made}


def said(decision):
    return {e.check: e for e in decision.evidence}.get("control.stragglers")


def held(space) -> set[str]:
    return set(space.tables.read(LABELS)[KEY].to_pylist())


@pytest.fixture
def kept_back() -> pa.Table:
    return streams.window_rows(LATE).slice(0, KEPT_BACK)


def test_honest_labels_that_come_late_are_learned_from_and_count(tmp_path, kept_back):
    space, made = run(tmp_path, kept_back)
    found = said(made[LATE + 2])
    assert found.verdict is Verdict.PASS, found.arithmetic
    assert found.arithmetic.startswith("60 labels of 1 other window: 0 of ")
    assert set(kept_back["id"].to_pylist()) <= held(space)
    assert said(made[LATE + 1]) is None
    assert quarantine.entries(space, only_open=True) == []
    lines = space.tables.read(ACCOUNTS).sort_by("_window").to_pylist()
    trials = {x["_window"]: json.loads(x["state"])["trials"] for x in lines}
    late = trials[LATE + 2] - trials[LATE + 1]
    drawn = said(made[LATE + 2]).details["trusted"]
    assert (late, drawn > 5) == (120 + drawn, True)


@pytest.mark.parametrize("date", [LATE, LATE + 1])
def test_turned_labels_that_are_kept_back_go_to_quarantine_alone(tmp_path, kept_back, date):
    """Whatever time they claim: the row says when it was."""
    space, made = run(tmp_path, dated(turned(kept_back), date))
    found = said(made[LATE + 2])
    assert found.verdict is Verdict.WARN
    assert "differ from the trusted row of the same key" in found.arithmetic
    assert "in the label" in found.arithmetic
    assert made[LATE + 2].labels_quarantined == KEPT_BACK
    assert not set(kept_back["id"].to_pylist()) & held(space)
    assert set(streams.window_rows(LATE + 1)["id"].to_pylist()) <= held(space)
    (entry,) = quarantine.entries(space, only_open=True)
    assert entry["check"] == "control.stragglers"


def test_forged_rows_whose_labels_are_kept_back_wait(tmp_path):
    extra = forged(KEPT_BACK)
    space, made = run(tmp_path, extra, extra)
    found = said(made[LATE + 2])
    assert "0 of them are trusted" in found.arithmetic
    assert "trusted rows have not come, or there are none" in found.arithmetic
    assert made[LATE + 2].labels_quarantined == KEPT_BACK
    assert not any(k.startswith("forged") for k in held(space))
    (entry,) = quarantine.entries(space, only_open=True)
    assert entry["check"] == "control.rows"


def test_labels_of_rows_that_do_not_exist_do_not_hide_a_batch(tmp_path):
    """However many there are: the batch is compared whole, rows that it lacks included."""
    streams.project(tmp_path, 0, DEFENDED)
    space = streams.quick(streams.workspace(tmp_path))
    many, made = 3000, []
    flood = {"id": [f"nobody-{i}" for i in range(many)], "t": [50] * many, "y": [1] * many}
    for index in range(LATE + 3):
        table = streams.window_rows(index)
        streams.land_trusted(tmp_path, index)
        if index == LATE:
            table = table.filter(pc.less(table["x"], 0.8))  # a fifth is left out
        streams.land_window(tmp_path, index, table)
        if index == LATE + 1:
            made += run_windows(space, windows.undecided(space, None, None))
            streams.put(tmp_path, "labels/more.parquet", pa.table(flood))
    made += run_windows(space, windows.undecided(space, None, None))
    assert made[LATE + 1].labels_quarantined > many
    assert made[LATE + 1].outcome == "blocked"
    assert "trusted rows are missing from the batch" in made[LATE + 1].reasons[0]


@pytest.mark.parametrize("moved", [0.0, 1.0])
def test_a_few_rows_that_come_after_their_labels_need_no_person_if_they_are_right(tmp_path, moved):
    streams.project(tmp_path, 0, DEFENDED)
    space = streams.quick(streams.workspace(tmp_path))
    late = streams.window_rows(LATE).slice(0, FEW).drop_columns(["y"])
    late = late.set_column(2, "x", pc.add(late["x"], moved))
    for index in range(7):
        table = streams.window_rows(index)
        streams.land_trusted(tmp_path, index)
        rows = table.drop_columns(["y"])
        kept = rows.slice(FEW) if index == LATE else rows
        streams.put(tmp_path, f"features/w{index:03d}.parquet", kept)
        streams.put(tmp_path, f"labels/w{index:03d}.parquet", table.select(["id", "t", "y"]))
        if index == LATE + 2:
            list(run_windows(space, windows.undecided(space, None, None)))
            streams.put(tmp_path, "features/late.parquet", late)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    (found,) = [e for e in made[0].evidence if e.check == "control.late"]
    accepted = set(space.tables.read(ACCEPTED)[KEY].to_pylist())
    entries = [(e["check"], e["rows"]) for e in quarantine.entries(space, only_open=True)]
    if moved:
        assert found.verdict is Verdict.WARN
        assert " in x" in found.arithmetic
        assert not set(late["id"].to_pylist()) & accepted
        assert entries == [("control.late", FEW)]
    else:
        assert found.verdict is Verdict.PASS
        assert set(late["id"].to_pylist()) <= accepted
        assert entries == []


def test_without_keys_their_windows_are_compared_whole():
    """Nothing tells whether few labels of a window are right but the window itself."""
    at = np.repeat([3, 4, 5], [19, 90, 400])

    def of(trusted):
        definition = SimpleNamespace(trusted=trusted)
        return span_of(SimpleNamespace(workspace=SimpleNamespace(definition=definition)), at)

    assert of(SimpleNamespace(keyed=True)) == (5, 5)
    assert of(None) == (5, 5)
    assert of(SimpleNamespace(keyed=False)) == (4, 5)
