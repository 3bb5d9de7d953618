"""Rows to be confirmed: drawn, filled in, and the batch is compared with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from flows.retrain import run_windows
from ratchet.contracts.columns import KEY, LABELS
from ratchet.errors import NotFound, Refused
from tasks import confirm, quarantine, windows
from tests import streams
from tests.cli import Terminal, terminal

TRUSTED = '\n[trusted]\nobjects = "trusted/**"\nmin_rows = 40\n'
CONFIRMED = streams.PIPELINE + TRUSTED + "confirm = 0.3\n"


def space_of(home: Path, text: str = CONFIRMED, count: int = 4, table: pa.Table | None = None):
    """Windows have landed and are decided, and nobody confirmed a row of them."""
    streams.project(home, 0, text)
    space = streams.quick(streams.workspace(home))
    for index in range(count):
        streams.land_window(home, index, table if index == 1 else None)
    list(run_windows(space, windows.undecided(space, None, None)))
    return space


def fill_in(path: Path, truth: pa.Table) -> str:
    """The file as a person gives it back: labels looked up, rows that do not exist left out."""
    known = dict(zip(truth["id"].to_pylist(), truth["y"].to_pylist(), strict=True))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return "".join(json.dumps({**r, "y": known[r["id"]]}) + "\n" for r in rows if r["id"] in known)


@pytest.fixture
def ratchet(tmp_path, monkeypatch, capsys) -> Terminal:
    return terminal(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("turned", [False, True])
def test_a_batch_is_compared_with_the_rows_that_were_drawn_and_filled_in(tmp_path, ratchet, turned):
    truth = streams.window_rows(1)
    sent = truth
    if turned:
        wrong = np.random.default_rng(1).random(streams.ROWS) < 0.2
        y = np.abs(wrong - truth["y"].to_numpy())
        sent = truth.set_column(truth.column_names.index("y"), "y", pa.array(y))
    space = space_of(tmp_path, table=sent)
    assert [e["check"] for e in quarantine.entries(space, only_open=True)] == ["control.rows"] * 2
    out = tmp_path / "rows.jsonl"
    said = ratchet("draw", "1000", "--out", out).out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert 80 < len(rows) < 160
    assert f"1000: {len(rows)} of 400 rows drawn" in said
    assert f"0 confirmed so far, {len(rows)} to confirm: {out}" in said
    assert list(rows[0]) == ["id", "t", "x", "z", "c", "y"]
    assert {r["y"] for r in rows} == {None}
    (tmp_path / "landing" / "trusted").mkdir()
    (tmp_path / "landing" / "trusted" / "w1.jsonl").write_text(fill_in(out, truth))
    streams.land_window(tmp_path, 4)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    said = ratchet("draw", "1000").err
    assert f"{len(rows)} confirmed so far, 0 to confirm" in said
    (waited,) = [e for e in made[0].evidence if e.check == "control.waited"]
    labels = space.tables.read(LABELS)
    kept = set(labels[KEY].to_pylist()) if labels.num_rows else set()
    assert waited.arithmetic.endswith("it stays in quarantine" if turned else "released")
    assert (set(truth["id"].to_pylist()) <= kept) != turned


def test_the_same_rows_are_drawn_whoever_asks_and_late_ones_join_them(tmp_path):
    table = streams.window_rows(1)
    space = space_of(tmp_path, table=table.slice(0, 300))
    window = space.calendar.parse("1000")
    first = confirm.ask(space, window)
    again = confirm.ask(streams.quick(streams.workspace(tmp_path)), window)
    assert first.rows.equals(again.rows)
    streams.put(tmp_path, "features/late.parquet", table.slice(300).drop_columns(["y"]))
    streams.land_window(tmp_path, 4)
    list(run_windows(space, windows.undecided(space, None, None)))
    later = confirm.ask(space, window)
    assert (first.landed, later.landed) == (300, 400)
    assert set(first.rows["id"].to_pylist()) < set(later.rows["id"].to_pylist())


def test_what_is_drawn_does_not_depend_on_what_is_sealed(tmp_path):
    space = space_of(tmp_path, CONFIRMED + "\n[sealed]\nshare = 0.3\n", count=3)
    from tasks.sealed import seal_of

    drawn = confirm.ask(space, space.calendar.parse("1000")).rows
    sealed = seal_of(space).mask(drawn["id"])
    assert 0.15 < sealed.mean() < 0.45
    assert space.seal_secret.hex() not in json.dumps(drawn.to_pylist())


def test_parquet_and_rows_that_were_blocked(tmp_path, ratchet):
    bad = streams.window_rows(1)
    bad = bad.set_column(bad.column_names.index("z"), "z", pc.add(bad["z"], 99.0))
    space_of(tmp_path, table=bad)
    out = tmp_path / "rows.parquet"
    assert ratchet("draw", "1000", "--out", out).code == 0
    assert pc.min(pq.read_table(out)["z"]).as_py() > 50
    wrong = ratchet("draw", "1000", "--out", tmp_path / "rows.csv")
    assert wrong.code == 2
    assert "ends in .jsonl or .parquet" in wrong.err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (streams.PIPELINE + TRUSTED, "put 'confirm = 0.1' under"),
        (streams.PIPELINE, "put 'confirm = 0.1' under"),
        (CONFIRMED + "keyed = false\n", "rows are confirmed by key"),
    ],
)
def test_a_pipeline_that_declares_no_share_is_told_how(tmp_path, text, why):
    space = space_of(tmp_path, text, count=2)
    with pytest.raises(Refused, match=why):
        confirm.ask(space, space.calendar.parse("1000"))


def test_a_window_without_rows_is_named(tmp_path):
    space = space_of(tmp_path, count=2)
    with pytest.raises(NotFound, match="9000: no row of this window has landed"):
        confirm.ask(space, space.calendar.parse("9000"))
