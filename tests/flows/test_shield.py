"""The shield in whole cycles: what was tampered with is kept out, named, and can be looked at."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flows import retrain
from flows.retrain import one_cycle, run_windows
from ratchet.contracts.columns import ACCEPTED, ACCOUNTS, KEY, LABELS, TRUSTED
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision
from tasks import accounts, decisions, quarantine, windows
from tasks.progress import listening
from tasks.verify import verify
from tests import streams

DEFENDED = streams.PIPELINE + '\n[trusted]\nobjects = "trusted/**"\nmin_rows = 40\n'
AUDITED = DEFENDED + '\n[record]\nuri = "truth.parquet"\n'
DRAWN = 120


def put(home: Path, key: str, table: pa.Table) -> None:
    path = home / "landing" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    pq.write_table(table, out)
    path.write_bytes(out.getvalue())


def land_trusted(home: Path, index: int) -> None:
    truth = streams.window_rows(index)
    chosen = np.random.default_rng(index).choice(truth.num_rows, DRAWN, replace=False)
    put(home, f"trusted/w{index:03d}.parquet", truth.take(pa.array(np.sort(chosen))))


def flip(table: pa.Table, share: float) -> pa.Table:
    y = table["y"].to_numpy().copy()
    mine = np.random.default_rng(3).random(len(y)) < share
    y[mine] = 1 - y[mine]
    return table.set_column(table.column_names.index("y"), "y", pa.array(y))


def forge(table: pa.Table, rows: int) -> pa.Table:
    extra = table.slice(0, rows)
    values = {"id": [f"forged{i}" for i in range(rows)], "x": [3.25] * rows, "y": [0] * rows}
    for name, column in values.items():
        place = extra.column_names.index(name)
        extra = extra.set_column(place, name, pa.array(column, extra.schema.field(name).type))
    return pa.concat_tables([table, extra])


def run(home: Path, pipeline: str, damaged: dict[int, pa.Table], count: int = 6, cut: int = -1):
    streams.project(home, 0, pipeline)
    for index in range(count):
        streams.land_window(home, index, damaged.get(index))
        if index != cut:
            land_trusted(home, index)
    space = streams.quick(streams.workspace(home))
    return space, list(run_windows(space, windows.undecided(space, None, None)))


def by_check(decision):
    return {e.check: e for e in decision.evidence}


def test_a_clean_stream_is_learned_from_and_each_decision_shows_the_comparison(tmp_path):
    space, made = run(tmp_path, DEFENDED, {})
    assert [d.outcome for d in made[2:]].count("promoted") >= 1
    assert not [d for d in made if d.outcome == "blocked"]
    evidence = by_check(made[3])
    assert evidence["control.match"].verdict is Verdict.PASS
    assert "120 rows differ from the trusted row" in evidence["control.match"].arithmetic
    assert evidence["gate.trusted"].measured is not None
    assert "shield.account" in evidence
    assert space.tables.read(ACCOUNTS).num_rows == 4


def test_trusted_rows_are_not_learned_from_while_labels_are_accepted(tmp_path):
    space, _ = run(tmp_path, DEFENDED, {})
    trusted = space.tables.read(TRUSTED)
    assert trusted.num_rows == 6 * DRAWN
    accepted = space.tables.read(ACCEPTED)
    objects = set(trusted["_object"].to_pylist())
    assert not objects & set(accepted["_object"].to_pylist())
    assert not objects & set(space.tables.read(LABELS)["_object"].to_pylist())


def test_20_flipped_labels_are_blocked_and_kept_whole(tmp_path):
    space, made = run(tmp_path, DEFENDED, {2: flip(streams.window_rows(2), 0.2)})
    assert made[3].outcome == "blocked"
    assert "differ from the trusted row of the same key" in made[3].reasons[0]
    assert made[3].labels_quarantined == streams.ROWS
    entry = quarantine.entries(space, only_open=True)[0]
    assert entry["check"] == "control.match"
    assert entry["rows"] == streams.ROWS
    keys = set(streams.window_rows(2)["id"].to_pylist())
    assert not keys & set(space.tables.read(LABELS)[KEY].to_pylist())


def test_where_labels_are_blocked_trusted_rows_are_learned_from_instead(tmp_path):
    damaged = {i: flip(streams.window_rows(i), 0.2) for i in (2, 3)}
    told: list[Decision] = []
    with listening(told.append):
        space, made = run(tmp_path, DEFENDED, damaged, count=7)
    assert [d.digest for d in told] == [d.digest for d in decisions.done(space)]  # each, in order
    assert [d.again for d in told if d.window == "3000"] == ["", "trusted"]
    assert [d.outcome for d in made[3:5]] == ["blocked", "blocked"]
    again = [d for d in decisions.done(space) if d.cycle_key.endswith("/trusted")]
    assert [d.window for d in again] == [d.window for d in made[3:5]]
    for decision in again:
        evidence = by_check(decision)["labels.trusted"]
        assert evidence.verdict is Verdict.WARN
        assert decision.lineage.trusted_version >= 0
    assert [by_check(d)["labels.trusted"].measured for d in again] == [DRAWN, 2 * DRAWN]
    assert {d.outcome for d in again} <= {"promoted", "held", "blocked"}
    # The next window, whose labels are accepted, learns from the trusted rows of the blocked ones.
    assert by_check(made[5])["labels.trusted"].measured == 2 * DRAWN
    learned = made[5].lineage
    assert learned.rows == 2 * streams.ROWS + 2 * DRAWN
    for decision in (d for d in decisions.done(space) if d.outcome == "promoted"):
        found = verify(space, decision.champion_after)
        assert all(e.verdict is Verdict.PASS for e in found), found


def test_a_blocked_window_that_was_cut_off_is_learned_from_when_it_is_asked_again(
    tmp_path, monkeypatch
):
    damaged = {2: flip(streams.window_rows(2), 0.2)}
    with monkeypatch.context() as cut_off:
        cut_off.setattr(retrain, "learn_anyway", lambda *_: None)
        space, made = run(tmp_path, DEFENDED, damaged, count=5)
    assert made[3].outcome == "blocked"
    count = len(decisions.done(space))
    every = retrain.run_all(space, [space.calendar.window(3)])
    assert [(d.window, d.again) for d in every] == [("3000", ""), ("3000", "trusted")]
    for _ in range(2):
        assert one_cycle(space, space.calendar.window(3)).digest == made[3].digest
        assert len(decisions.done(space)) == count + 1


def test_forged_rows_are_blocked_by_their_cell(tmp_path):
    _, made = run(tmp_path, DEFENDED, {3: forge(streams.window_rows(3), 100)})
    assert made[4].outcome == "blocked"
    checks = {e.check for e in made[4].evidence if e.verdict is Verdict.BLOCK}
    assert checks & {"control.values", "control.pairs"}
    assert "3.25" in " ".join(made[4].reasons)


def test_a_source_that_lies_a_little_each_time_is_accused(tmp_path):
    damaged = {i: flip(streams.window_rows(i), 0.03) for i in range(8)}
    space, made = run(tmp_path, DEFENDED, damaged, count=9)
    standing = accounts.standing(space)[0]
    assert standing["alarm"] is not None
    assert standing["failures"] > standing["expected"]
    assert made[-1].outcome == "blocked"


def test_a_trusted_path_that_was_cut_never_passes(tmp_path):
    _, made = run(tmp_path, DEFENDED, {}, count=5, cut=2)
    assert made[3].outcome == "held"
    assert "nothing to compare with" in made[3].reasons[0]
    assert made[3].labels_quarantined == streams.ROWS


def test_without_a_trusted_source_each_decision_says_that_it_is_degraded(tmp_path):
    streams.project(tmp_path, 5)
    space = streams.quick(streams.workspace(tmp_path))
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert by_check(made[0])["rows.count"].verdict is Verdict.PASS  # no label came yet
    for decision in made:
        assert by_check(decision)["control.rows"].verdict is Verdict.WARN
        assert "degraded" in by_check(decision)["control.rows"].arithmetic


def truth(home: Path, count: int = 6) -> None:
    tables = [streams.window_rows(i) for i in range(count)]
    pq.write_table(pa.concat_tables(tables), home / "truth.parquet")


def nominate(monkeypatch, point):
    """Let every batch be suspicious, with the rows whose key starts so pointed at."""
    from dataclasses import replace

    from tasks import shield

    real = shield.rules.compare

    def compare(batch, control, definition, **options):
        found = real(batch, control, definition, **options)
        pointed = np.array([k.startswith(point) for k in batch.rows[KEY].to_pylist()])
        return replace(found, suspicious=pointed, nominated="for this test", ranked=False)

    monkeypatch.setattr(shield.rules, "compare", compare)


def test_a_clean_audit_releases_without_a_person(tmp_path, monkeypatch):
    nominate(monkeypatch, "k")
    truth(tmp_path)
    _, made = run(tmp_path, AUDITED, {}, count=4)
    evidence = by_check(made[2])
    assert evidence["control.suspicion"].verdict is Verdict.WARN
    assert evidence["audit.rows"].verdict is Verdict.PASS
    assert "100 rows looked up" in evidence["audit.rows"].arithmetic
    assert made[2].labels_quarantined == 0


def test_a_dirty_leaf_goes_to_quarantine_alone(tmp_path, monkeypatch):
    nominate(monkeypatch, "forged")
    truth(tmp_path)
    space, made = run(tmp_path, AUDITED, {1: forge(streams.window_rows(1), 10)}, count=4)
    evidence = by_check(made[2])
    assert evidence["audit.rows"].verdict is Verdict.WARN
    assert "quarantined alone" in evidence["audit.rows"].arithmetic
    assert made[2].labels_quarantined == 10
    kept = space.tables.read(LABELS)[KEY].to_pylist()
    assert not [k for k in kept if k.startswith("forged")]
    assert [k for k in kept if k.startswith("k1-")]


def test_a_record_that_does_not_answer_is_no_release(tmp_path, monkeypatch):
    nominate(monkeypatch, "k")
    _, made = run(tmp_path, AUDITED, {}, count=3)
    assert by_check(made[1])["audit.rows"].verdict is Verdict.ERROR
    assert made[1].labels_quarantined == streams.ROWS


def test_rows_that_come_after_their_labels_do_not_slip_through(tmp_path):
    """The labels of window 1 are judged without rows; the rows, poisoned, come a window later."""
    streams.project(tmp_path, 0, DEFENDED)
    space = streams.quick(streams.workspace(tmp_path))
    late = streams.window_rows(1)
    x = late.column_names.index("x")
    poisoned = late.set_column(x, "x", pa.array(-late["x"].to_numpy()))
    for index in range(4):
        land_trusted(tmp_path, index)
        if index != 1:
            streams.land_window(tmp_path, index)
    put(tmp_path, "labels/w001.parquet", late.select(["id", "t", "y"]))
    first = list(run_windows(space, windows.undecided(space, None, "3000")))
    assert len(first) == 3
    put(tmp_path, "features/late.parquet", poisoned.select(["id", "t", "x", "z", "c"]))
    streams.land_window(tmp_path, 4)
    streams.land_window(tmp_path, 5)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    evidence = by_check(made[0])
    assert "came after their labels" in evidence["control.late"].arithmetic
    kept = space.tables.read(ACCEPTED)[KEY].to_pylist()
    assert not [k for k in kept if k.startswith("k1-")]
    entry = quarantine.entries(space, only_open=True)[0]
    assert entry["check"] == "control.late"


def test_labels_that_waited_for_trusted_rows_are_released_by_rule(tmp_path):
    space, made = run(tmp_path, DEFENDED, {}, count=5, cut=2)
    assert made[3].outcome == "held"
    land_trusted(tmp_path, 2)
    streams.land_window(tmp_path, 5)
    land_trusted(tmp_path, 5)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert "released" in by_check(made[0])["control.waited"].arithmetic
    assert quarantine.entries(space, only_open=True) == []
    assert quarantine.entries(space, only_open=False)[0]["by"] == "ratchet"
    kept = space.tables.read(LABELS)[KEY].to_pylist()
    assert len([k for k in kept if k.startswith("k2-")]) == streams.ROWS


def test_of_labels_that_waited_twice_one_is_released(tmp_path):
    """Some came again under another object while the first waited: one label a key all the same."""
    space, _ = run(tmp_path, DEFENDED, {}, count=5, cut=2)
    again = streams.window_rows(2).slice(0, 50).select(["id", "t", "y"])
    put(tmp_path, "labels/again.parquet", again)
    streams.land_window(tmp_path, 5)
    land_trusted(tmp_path, 5)
    list(run_windows(space, windows.undecided(space, None, None)))
    assert [e["rows"] for e in quarantine.entries(space, only_open=True)] == [streams.ROWS, 50]
    land_trusted(tmp_path, 2)
    streams.land_window(tmp_path, 6)
    land_trusted(tmp_path, 6)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    said = [e.arithmetic for e in made[0].evidence if e.check == "control.waited"]
    assert said[0].endswith(": released")
    assert "clean, but it stays in quarantine" in said[1]
    assert "50 of its 50 labels have a key that was accepted before" in said[1]
    kept = space.tables.read(LABELS)[KEY].to_pylist()
    assert len(kept) == len(set(kept))


def test_labels_that_waited_and_prove_poisoned_stay(tmp_path):
    damaged = {2: flip(streams.window_rows(2), 0.2)}
    space, _ = run(tmp_path, DEFENDED, damaged, count=5, cut=2)
    land_trusted(tmp_path, 2)
    streams.land_window(tmp_path, 5)
    land_trusted(tmp_path, 5)
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert "stays in quarantine" in by_check(made[0])["control.waited"].arithmetic
    assert len(quarantine.entries(space, only_open=True)) == 1


def test_a_source_that_lies_is_quarantined_alone_and_the_others_go_on(tmp_path):
    text = DEFENDED.replace('"features/**"', '"features/{source}/**"')
    streams.project(tmp_path, 0, text)
    for index in range(7):
        streams.land_sources(tmp_path, index, {"good": 250, "bad": 150})
        truth = streams.window_rows(index)
        put(
            tmp_path,
            f"trusted/w{index:03d}.parquet",
            truth.take(list(range(0, 400, 2))),
        )
        if index == 4:
            lies = pa.concat_tables([truth.slice(0, 250), flip(truth.slice(250), 0.4)])
            put(tmp_path, f"labels/w{index:03d}.parquet", lies.select(["id", "t", "y"]))
    space = streams.quick(streams.workspace(tmp_path))
    made = list(run_windows(space, windows.undecided(space, None, None)))
    (damaged,) = [d for d in made if d.labels_quarantined]
    said = [e for e in damaged.evidence if e.check == "control.source"]
    assert len(said) == 1
    assert said[0].verdict is Verdict.WARN
    assert "bad" in said[0].arithmetic
    assert damaged.labels_quarantined == 150
    assert damaged.outcome in ("held", "promoted")
    (entry,) = quarantine.entries(space, only_open=True)
    assert entry["check"] == "control.source"
