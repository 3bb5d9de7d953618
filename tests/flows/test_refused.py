"""What ingest refused is named in the decision of its window, and so by ``ratchet explain``."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from flows.retrain import run_windows
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision
from ratchet.register import describe
from tasks import windows
from tests.streams import land_window, project, quick, window_rows, workspace


def run(home: Path, replay: str | None = None) -> list[Decision]:
    space = quick(workspace(home, replay))
    return list(run_windows(space, windows.undecided(space, None, None)))


def said(decision: Decision, check: str) -> Evidence:
    return next(e for e in decision.evidence if e.check == check)


def test_labels_of_a_class_that_nobody_declared_are_counted_and_named(tmp_path: Path) -> None:
    project(tmp_path, 0)
    for index in range(3):
        table = window_rows(index)
        y = table["y"].to_pylist()
        y[:12] = [7] * 12
        strange = table.set_column(table.column_names.index("y"), "y", pa.array(y))
        land_window(tmp_path, index, strange)
    made = run(tmp_path)
    found = said(made[1], "labels.refused")
    assert (found.verdict, found.measured) == (Verdict.WARN, 12.0)
    assert found.arithmetic.startswith("12 of 400 labels were refused as they landed: 12 ")
    assert "y: not one of the declared classes 0, 1" in found.arithmetic
    assert "not one of the declared classes" in describe(made[1])
    assert made[1].labels_quarantined == 12
    again = run(tmp_path, replay="again")
    assert [d.digest for d in again] == [d.digest for d in made]


def test_an_object_that_was_set_aside_whole_is_named_where_nothing_landed(tmp_path: Path) -> None:
    project(tmp_path, 1)
    space = quick(workspace(tmp_path))
    list(run_windows(space, [space.calendar.window(0)]))
    (tmp_path / "landing" / "features" / "w001.parquet").write_bytes(b"PAR1 no parquet")
    made = list(run_windows(space, [space.calendar.window(1)]))
    assert (made[0].window, made[0].outcome) == ("1000", "no_data")
    assert made[0].reasons[0].startswith("1 object was set aside whole: features/w001.parquet (")
    assert made[0].reasons[0].endswith("; 0 rows landed for this window, so nothing was trained")
    assert said(made[0], "objects.refused").verdict is Verdict.WARN


def test_where_nothing_was_refused_nothing_is_said(tmp_path: Path) -> None:
    project(tmp_path, 2)
    checks = {e.check for d in run(tmp_path) for e in d.evidence}
    assert not {c for c in checks if c.endswith(".refused")}
