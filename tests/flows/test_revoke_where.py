"""Only the rows of a source that hold a value are taken back, with their labels and models."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from flows.retrain import run_windows, take_back
from ratchet.contracts.columns import (
    ACCEPTED,
    KEY,
    LABELS,
    REVOCATIONS,
    SOURCE,
    revocations_schema,
)
from ratchet.contracts.revocation import Reach
from ratchet.contracts.seams import Append
from ratchet.errors import NotFound
from tasks import decisions, quarantine, windows
from tasks.blast import blast_radius
from tasks.reach import object_named
from tasks.revoke import restore, revoked
from tasks.self_train import read_evidence
from tasks.verify import verify
from tests import streams

TWO = streams.PIPELINE.replace('"features/**"', '"features/{source}/**"')
DESK = TWO.replace('"labels/**"', '"labels/{source}/**"')
A = Reach("bad", where=(("c", "a"),))
WHO = ["--by", "ana", "--reason", "one cell"]


def land(home: Path, index: int, labels: str = "labels") -> None:
    rows = streams.window_rows(index)
    features = rows.select(["id", "t", "x", "z", "c"])
    streams.put(home, f"features/good/w{index:03d}.parquet", features.slice(0, 300))
    streams.put(home, f"features/bad/w{index:03d}.parquet", features.slice(300))
    streams.put(home, f"{labels}/w{index:03d}.parquet", rows.select(["id", "t", "y"]))


def run(home: Path, pipeline: str = TWO, labels: str = "labels"):
    streams.project(home, 0, pipeline)
    for index in range(8):
        land(home, index, labels)
    space = streams.quick(streams.workspace(home))
    list(run_windows(space, windows.undecided(space, None, "6000")))
    return space


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    return run(tmp_path_factory.mktemp("decided")).settings.home


@pytest.fixture
def space(decided, tmp_path):
    return streams.copied(decided, tmp_path)


def sent(space, name: str = "bad", table: str = ACCEPTED) -> pa.Table:
    rows = space.tables.read(table)
    return rows.filter(pc.equal(rows[SOURCE], name))


def keys(rows: pa.Table, value: str) -> set[str]:
    return set(rows.filter(pc.equal(rows["c"], value))[KEY].to_pylist())


def learned(space) -> set[str]:
    window = space.calendar.window(decisions.last_decided(space))
    labelled = read_evidence(space, window).labelled
    return set(labelled.rows[KEY].take(pa.array(labelled.positions)).to_pylist())


def test_only_the_rows_that_hold_the_value_are_meant(space):
    mine = sent(space)
    found = blast_radius(space, A)
    assert found.rows == len(keys(mine, "a"))
    assert 0 < found.rows < mine.num_rows
    assert found.where == "c = 'a'"
    assert found.labels == 0  # another source sends the labels
    since = space.calendar.parse("5000").start
    later = blast_radius(space, Reach("bad", since, where=A.where))
    assert 0 < later.rows < found.rows
    assert later.windows == ("5000",)
    one = object_named(space, "features/bad/w002.parquet")
    part = blast_radius(space, Reach("bad", object=one.object, where=A.where))
    assert 0 < part.rows < 100
    assert space.tables.version(REVOCATIONS) == -1


def test_training_leaves_out_just_these_rows_and_old_models_still_verify(space):
    a, b = (keys(sent(space), value) for value in "ab")
    before = [v.version for v in space.registry.versions("tiny")]
    assert a & learned(space)
    taken = take_back(space, A, by="ana", reason="one cell")
    assert not a & learned(space)
    assert b & learned(space)
    assert keys(sent(space, "good"), "a") & learned(space)
    assert taken.blast.versions
    assert taken.relearned is not None
    said = {e.check: e for e in taken.relearned.evidence}["source.revoked"]
    assert "without rows of bad with c = 'a'" in said.arithmetic
    line = space.tables.read(REVOCATIONS).to_pylist()[0]
    assert (line["where"], line["by"], line["reason"]) == ('{"c": "a"}', "ana", "one cell")
    list(run_windows(space, windows.undecided(space, None, None)))
    for version in {*before, *(v.version for v in space.registry.versions("tiny"))}:
        assert all(e.verdict.lets_through for e in verify(space, version))


def test_what_still_comes_with_the_value_goes_to_quarantine_alone(space):
    take_back(space, A, by="ana", reason="one cell")
    (made,) = run_windows(space, windows.undecided(space, None, None))
    table = streams.window_rows(6).slice(300)
    expected = keys(table.rename_columns([KEY, *table.column_names[1:]]), "a")
    assert made.rows_in == 400
    assert made.accepted == 400 - len(expected)
    (entry,) = quarantine.entries(space, only_open=True)
    assert (entry["check"], entry["rows"]) == ("source.revoked", len(expected))


def test_done_twice_is_once_and_restoring_the_source_ends_it(space):
    take_back(space, A, by="ana", reason="one cell")
    take_back(space, A, by="ana", reason="one cell")
    assert space.tables.read(REVOCATIONS).num_rows == 1
    take_back(space, Reach("bad", where=(("c", "b"),)), by="ana", reason="and the other")
    assert len(revoked(space)) == 2
    restore(space, "bad", by="ben", reason="mended")
    assert revoked(space) == ()
    assert keys(sent(space), "a") & learned(space)


def test_a_revocation_table_of_an_older_release_takes_conditions(space):
    schema = revocations_schema()
    schema = schema.remove(schema.get_field_index("where"))
    line = dict.fromkeys(schema.names) | {"source": "bad", "status": "revoked", "by": "ana"}
    line |= {"known_from": 0, "known_until": 1000, "_window": 6, "at": datetime.now(UTC)}
    old = pa.Table.from_pylist([line], schema=schema)
    space.tables.append(Append(REVOCATIONS, old, "revocations/0/bad/revoked"))
    assert [r.where for r in revoked(space)] == [()]
    take_back(space, A, by="ana", reason="one cell")
    assert [r.where for r in revoked(space)] == [(), A.where]
    assert not keys(sent(space), "a") & learned(space)


def test_a_label_desk_is_revoked_for_one_cell_of_rows_that_others_sent(tmp_path):
    space = run(tmp_path, DESK, "labels/desk")
    reach = Reach("desk", where=(("c", "a"),))
    found = blast_radius(space, reach)
    rows = space.tables.read(ACCEPTED)
    a = keys(rows, "a")
    labels = set(sent(space, "desk", LABELS)[KEY].to_pylist())
    assert (found.rows, found.labels) == (0, len(a & labels))
    assert found.versions
    take_back(space, reach, by="ana", reason="one cell")
    assert not a & learned(space)
    assert keys(rows, "b") & learned(space)
    (made,) = run_windows(space, windows.undecided(space, None, None))
    assert 0 < made.labels_quarantined < made.labels_in


def test_a_revocation_of_nothing_is_refused_with_what_there_is(space):
    with pytest.raises(NotFound, match=r"with c = 'q': none was accepted; its c: \['a', 'b'\]"):
        take_back(space, Reach("bad", where=(("c", "q"),)), by="ana", reason="typo")
    with pytest.raises(NotFound, match="x = 99"):
        blast_radius(space, Reach("bad", where=(("c", "a"), ("x", 99.0))))
    with pytest.raises(NotFound, match="source 'ugly'"):
        blast_radius(space, Reach("ugly", where=A.where))
    assert space.tables.version(REVOCATIONS) == -1


def test_the_command(space, monkeypatch):
    from ratchet.cli import source as cli

    monkeypatch.setattr(cli, "only_pipeline", lambda p: p or "tiny")
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda *_: space)
    run = CliRunner()
    mine = sent(space)
    row = mine.slice(0, 1).to_pylist()[0]
    one = ["--where", f"x={row['x']!r}", "--where", f"c={row['c']}"]
    said = run.invoke(cli.source, ["revoke", "bad", *one, "--dry-run", "--json"])
    assert json.loads(said.stdout)["rows"] == 1, said.output
    said = run.invoke(cli.source, ["revoke", "bad", "--where", "c=a", "--dry-run"])
    assert "Source bad, rows with c = 'a', since" in said.output
    assert "Nothing was written" in said.output
    for wrong, why in (("c", "COLUMN=VALUE"), ("q=1", "one of ['x', 'z', 'c']"), ("x=b", "number")):
        said = run.invoke(cli.source, ["revoke", "bad", "--where", wrong, "--dry-run"])
        assert said.exit_code != 0
        assert why in str(said.exception)
    assert space.tables.version(REVOCATIONS) == -1
    said = run.invoke(cli.source, ["revoke", "bad", "--where", "c=a", "--json", *WHO])
    assert json.loads(said.stdout)["where"] == "c = 'a'"
    said = run.invoke(cli.source, ["list"])
    assert "bad: rows with c = 'a' revoked from 0" in said.output
    said = run.invoke(cli.source, ["list", "--json"])
    assert json.loads(said.stdout)[-1]["revoked"].startswith("rows with c = 'a'")
    said = run.invoke(cli.source, ["restore", "bad", *WHO])
    assert "learned from again" in said.output
