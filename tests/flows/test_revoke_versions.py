"""The versions of each table that hold what is revoked: said, and true of every version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from flows.retrain import run_windows, take_back
from ratchet.adapters.tables.files import LocalFiles
from ratchet.contracts.columns import (
    ACCEPTED,
    KEY,
    KNOWN,
    LABELS,
    LANDED,
    OBJECT,
    QUARANTINE,
    REVOCATIONS,
    SOURCE,
)
from ratchet.contracts.revocation import ALWAYS, Reach
from tasks import decisions, quarantine, windows
from tasks.blast import blast_radius
from tasks.reach import object_named
from tasks.traces import ARRIVED
from tests import streams

TWO = streams.PIPELINE.replace('"features/**"', '"features/{source}/**"')
DESKS = TWO.replace('"labels/**"', '"labels/{source}/**"')
WINDOWS = 8
A = Reach("bad", where=(("c", "a"),))


def land(home: Path, index: int) -> None:
    """Rows by two sources from window 2 on, labels by two desks; some of each fail a rule."""
    rows = streams.window_rows(index)
    x = rows["x"].to_numpy().copy()
    x[[5, 310, 311]] = 99.0
    x[7] = float("inf")  # refused at landing
    features = rows.set_column(2, "x", pa.array(x)).select(["id", "t", "x", "z", "c"])
    cut = 300 if index >= 2 else 400
    streams.put(home, f"features/good/w{index:03d}.parquet", features.slice(0, cut))
    if index >= 2:
        streams.put(home, f"features/bad/w{index:03d}.parquet", features.slice(cut))
    labels = rows.select(["id", "t", "y"])
    streams.put(home, f"labels/desk/w{index:03d}.parquet", labels.slice(0, 350))
    streams.put(home, f"labels/other/w{index:03d}.parquet", labels.slice(350))


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """Landed in two goes, so that windows and versions part; one entry of a window was released."""
    home = tmp_path_factory.mktemp("decided")
    streams.project(home, 0, DESKS)
    for index in range(4):
        land(home, index)
    space = streams.quick(streams.workspace(home))
    list(run_windows(space, windows.undecided(space, None, "3000")))
    entries = [entry["entry"] for entry in quarantine.entries(space, only_open=True)]
    entry = next(name for name in entries if name.startswith("2000/row"))
    quarantine.act(space, entry, "released", by="ana", reason="they are right")
    for index in range(4, WINDOWS):
        land(home, index)
    list(run_windows(space, windows.undecided(space, None, None)))
    return home


@pytest.fixture
def space(decided, tmp_path):
    return streams.copied(decided, tmp_path)


def lines_of(space, name: str, version: int) -> list[dict[str, Any]]:
    """Rows of a table by time travel, each with the cells that it or its row holds."""
    tables = space.landing_tables if name in ARRIVED else space.tables
    found = tables.read(name, version=version).to_pylist()
    rows = {row[KEY]: row for row in space.tables.read(ACCEPTED).to_pylist()}
    if name == QUARANTINE:
        found = [x for x in found if x["status"] == "quarantined" and x["kind"] != "object"]
    for line in found:
        own = json.loads(line["payload"]) if line.get("payload") else line
        for cell in ("x", "z", "c"):
            line[cell] = own[cell] if cell in own else rows.get(line[KEY], {}).get(cell)
    return found


def meant(line: dict[str, Any], reach: Reach) -> bool:
    known = ALWAYS if line[KNOWN] is None else line[KNOWN]
    return (
        line[SOURCE] == reach.source
        and reach.object in (None, line[OBJECT])
        and reach.known_from <= known
        and (reach.known_until is None or known < reach.known_until)
        and all(line[name] == value for name, value in reach.where)
    )


def reaches(space) -> dict[str, Reach]:
    batch = space.calendar.parse("5000")
    return {
        "all of it": Reach("bad"),
        "since a window": Reach("bad", space.calendar.parse("4000").start),
        "since within one": Reach("bad", 4321, 6789),
        "one window": Reach("bad", batch.start, batch.end),
        "an object": object_named(space, "features/bad/w003.parquet"),
        "an object of labels": object_named(space, "labels/desk/w003.parquet"),
        "a cell": A,
        "a cell of a window": Reach("bad", batch.start, batch.end, where=(("c", "b"),)),
        "what failed": Reach("good", where=(("x", 99.0),)),
        "labels": Reach("desk"),
        "labels of a cell": Reach("desk", 3000, where=(("c", "b"),)),
    }


def test_every_version_holds_what_is_said(space):
    lines = {}
    for case, reach in reaches(space).items():
        for trace in blast_radius(space, reach).tables:
            tables = space.landing_tables if trace.table in ARRIVED else space.tables
            assert trace.newest == tables.version(trace.table)
            for version in range(trace.newest + 1):
                key = trace.table, version
                if key not in lines:
                    lines[key] = lines_of(space, *key)
                held = sum(meant(line, reach) for line in lines[key])
                assert trace.rows_in(version) == held, (case, trace, version)
                assert (held > 0) == (trace.first is not None and version >= trace.first)
    assert len(lines) > 50  # there was something to tell apart


def test_exact_versions(space):
    def added(reach: Reach) -> dict[str, dict[int, int]]:
        return {t.table: dict(t.added) for t in blast_radius(space, reach).tables if t.added}

    # The objects of a cycle land by name, "bad" before "good"; a release is a version of its own.
    assert added(Reach("bad")) == {
        LANDED: dict.fromkeys([0, 1, 6, 7, 8, 9], 100),
        ACCEPTED: {2: 98, 3: 2, 4: 98, 5: 98, 6: 98, 7: 98},
        QUARANTINE: dict.fromkeys([6, 12, 13, 14, 15], 2),
    }
    assert added(reaches(space)["one window"]) == {
        LANDED: {7: 100},
        ACCEPTED: {6: 98},
        QUARANTINE: {14: 2},
    }
    cell = added(reaches(space)["a cell"])
    assert {name: list(found) for name, found in cell.items()} == {
        LANDED: [0, 1, 6, 7, 8, 9],
        ACCEPTED: [2, 3, 4, 5, 6, 7],
        QUARANTINE: [6, 12, 13, 14],
    }
    assert sum(cell[ACCEPTED].values()) < 492


def test_only_files_in_question_are_read(space, monkeypatch):
    read: list[str] = []
    get = LocalFiles.get

    def counted(files: LocalFiles, path: str) -> bytes:
        read.append(path)
        return get(files, path)

    monkeypatch.setattr(LocalFiles, "get", counted)
    blast_radius(space, Reach("bad"))
    assert not [path for path in read if path.startswith("landed")]
    assert not [path for path in read if "_delta_log" in path]
    blast_radius(space, A)
    assert len([path for path in read if path.startswith("landed/")]) == WINDOWS - 2  # its own
    batch = reaches(space)["one window"]
    read.clear()
    blast_radius(space, batch)
    assert {path.split("/")[1] for path in read if path.startswith("landed")} == {"_window=5"}
    assert not [path for path in read if path.startswith("objects")]


def test_a_revocation_says_them_too_and_what_models_read(space):
    taken = take_back(space, Reach("bad"), by="ana", reason="caught")
    blast = taken.blast
    assert blast.left_out_by == space.tables.version(REVOCATIONS) == 0
    made = [d for d in decisions.done(space) if d.champion_after != d.champion_before]
    lineages = {d.champion_after: d.lineage for d in made if d.lineage}
    assert blast.versions
    for version in blast.versions:
        read = blast.learned[version]
        assert read[ACCEPTED] == lineages[version].accepted_version
        assert read[LABELS] == lineages[version].labels_version
        accepted = next(t for t in blast.tables if t.table == ACCEPTED)
        assert accepted.rows_in(read[ACCEPTED]) > 0
    said = {e.check: e for e in taken.relearned.evidence}["source.revoked"]
    assert said.arithmetic.endswith("labels revoked; in accepted from version 2 on")
    land(space.settings.home, WINDOWS)
    assert list(run_windows(space, windows.undecided(space, None, None)))
    later = blast_radius(space, Reach("bad"))
    assert later.left_out_by == 0
    before = {t.table: dict(t.added) for t in blast.tables}
    after = {t.table: dict(t.added) for t in later.tables}
    assert after[ACCEPTED] == before[ACCEPTED]  # nothing of it is accepted any more
    assert len(after[QUARANTINE]) > len(before[QUARANTINE])


def test_the_command_names_them(space, monkeypatch):
    from ratchet.cli import source as cli

    monkeypatch.setattr(cli, "only_pipeline", lambda p: p or "tiny")
    monkeypatch.setattr("tasks.workspace.open_workspace", lambda *_: space)
    run = CliRunner()
    text = run.invoke(cli.source, ["revoke", "bad", "--dry-run"]).output
    assert (
        "landed: versions 0 to 13 hold rows of it, the newest 600 (added by 0, 1, 6 to 9)" in text
    )
    assert "accepted: versions 2 to 7 hold rows of it, the newest 492 (added by 2 to 7)" in text
    assert "labels: no version holds any of it" in text
    assert "once revoked, training leaves it out" in text
    assert "version 2 read accepted 6, labels 4" in text
    found = json.loads(run.invoke(cli.source, ["revoke", "bad", "--dry-run", "--json"]).stdout)
    assert found["tables"][ACCEPTED]["first"] == 2
    assert found["tables"][ACCEPTED]["added"]["3"] == 2
    assert found["tables"][LABELS] == {
        "table": LABELS,
        "added": {},
        "newest": 5,
        "first": None,
        "rows": 0,
        "said": "no version holds any of it",
    }
    assert found["learned"] == {"2": {ACCEPTED: 6, LABELS: 4}}
    who = ["--by", "ana", "--reason", "caught", "--yes"]
    text = run.invoke(cli.source, ["revoke", "bad", *who]).output
    assert "training leaves it out, by version 0 of revocations" in text
