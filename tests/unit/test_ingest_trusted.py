"""Trusted objects and senders: what lands where, and under whose name."""

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flows.retrain import run_windows
from ratchet.contracts.columns import (
    ACCEPTED,
    EVENT,
    KEY,
    KNOWN,
    LABEL,
    LABELS,
    LANDED,
    LANDED_LABELS,
    OBJECT,
    OBJECTS,
    QUARANTINE,
    ROW,
    SOURCE,
    TRUSTED,
    WINDOW,
    trusted_schema,
)
from ratchet.contracts.definition import parse
from ratchet.errors import DefinitionError, Refused, UnsafeKey
from ratchet.ingest import role_of, source_of
from tasks import quarantine, windows
from tasks.ingest import take_in
from tests import ingest_kit, streams

WITH_TRUSTED = streams.PIPELINE + '\n[trusted]\nobjects = "trusted/**"\n'
BY_SENDER = WITH_TRUSTED.replace('"features/**"', '"features/{source}/**"')


def changed(table: pa.Table, **columns: dict[int, Any]) -> pa.Table:
    """The table with single cells replaced: column to (row to value)."""
    for name, cells in columns.items():
        values = table[name].to_pylist()
        for row, value in cells.items():
            values[row] = value
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


def test_a_trusted_object_lands_once_apart_from_the_stream(tmp_path):
    space = streams.project(tmp_path, 1, WITH_TRUSTED)
    sample = streams.window_rows(0).slice(0, 60)
    streams.put(tmp_path, "trusted/w0.parquet", sample)
    streams.put(tmp_path, "trusted/again.parquet", sample)
    lines = {line["object"]: line["status"] for line in take_in(space)}
    assert lines["trusted/again.parquet"] == "landed"
    assert lines["trusted/w0.parquet"] == "duplicate"
    rows = space.tables.read(TRUSTED)
    assert rows.schema.remove_metadata() == trusted_schema(dict(space.definition.features))
    assert rows.num_rows == 60
    assert rows[LABEL].to_pylist() == [
        float(y)
        for _, y in sorted(
            zip(sample["id"].to_pylist(), sample["y"].to_pylist(), strict=True),
            key=lambda p: rows[KEY].to_pylist().index(p[0]),
        )
    ]
    assert space.tables.read(LANDED).num_rows == streams.ROWS
    assert space.tables.read(LANDED_LABELS).num_rows == streams.ROWS


def test_trusted_rows_are_known_when_their_label_is(tmp_path):
    space = streams.project(tmp_path, 0, WITH_TRUSTED)
    streams.put(tmp_path, "trusted/w0.parquet", streams.window_rows(0).slice(0, 20))
    take_in(space)
    rows = space.tables.read(TRUSTED)
    assert min(rows[KNOWN].to_pylist()) >= streams.WINDOW  # the label delay is one window
    assert set(rows[WINDOW].to_pylist()) == {1}


def test_a_trusted_row_without_a_label_keeps_null(tmp_path):
    space = streams.project(tmp_path, 0, WITH_TRUSTED)
    sample = streams.window_rows(0).slice(0, 20)
    labels = pa.array([None, *sample["y"].to_pylist()[1:]], pa.int64())
    streams.put(
        tmp_path,
        "trusted/w.parquet",
        sample.set_column(sample.column_names.index("y"), "y", labels),
    )
    take_in(space)
    assert space.tables.read(TRUSTED)[LABEL].null_count == 1


def test_a_trusted_object_without_its_label_column_is_quarantined(tmp_path):
    space = streams.project(tmp_path, 0, WITH_TRUSTED)
    streams.put(tmp_path, "trusted/w.parquet", streams.window_rows(0).drop_columns(["y"]))
    take_in(space)
    assert space.tables.read(OBJECTS)["status"].to_pylist() == ["quarantined"]
    assert "y" in space.tables.read(QUARANTINE)["reason"][0].as_py()
    assert space.tables.version(TRUSTED) == -1


def test_the_folder_names_the_sender(tmp_path):
    space = streams.project(tmp_path, 0, BY_SENDER)
    rows = streams.window_rows(0).drop_columns(["y"])
    streams.put(tmp_path, "features/ewr/w.parquet", rows.slice(0, 100))
    streams.put(tmp_path, "features/jfk/w.parquet", rows.slice(100))
    streams.put(tmp_path, "features/~x/w.parquet", rows.slice(0, 5))
    lines = {line["object"]: line for line in take_in(space)}
    assert lines["features/~x/w.parquet"]["status"] == "quarantined"
    found = space.tables.read(LANDED)[SOURCE].to_pylist()
    assert (found.count("ewr"), found.count("jfk")) == (100, streams.ROWS - 100)


def test_what_a_second_source_sends_again_is_its_duplicate(tmp_path):
    space = streams.project(tmp_path, 0, BY_SENDER)
    rows = streams.window_rows(0).drop_columns(["y"])
    streams.put(tmp_path, "features/ewr/w.parquet", rows)
    streams.put(tmp_path, "features/jfk/copy.parquet", rows)
    take_in(space)
    ledger = {line["object_key"]: line for line in space.tables.read(OBJECTS).to_pylist()}
    copy = ledger["features/jfk/copy.parquet"]
    assert (copy["status"], copy["source"]) == ("duplicate", "jfk")
    assert copy["reason"] == "jfk sent the same content as features/ewr/w.parquet"
    assert ledger["features/ewr/w.parquet"]["source"] == "ewr"
    assert set(space.tables.read(LANDED)[SOURCE].to_pylist()) == {"ewr"}


def test_every_role_may_name_its_source(tmp_path):
    pipeline = BY_SENDER.replace('"labels/**"', '"labels/{source}/*"')
    pipeline = pipeline.replace('"trusted/**"', '"trusted/{source}/**"')
    space = streams.project(tmp_path, 0, pipeline)
    streams.land_sources(tmp_path, 0, {"ewr": 100, "jfk": 300})
    streams.land_trusted(tmp_path, 0, rows=30)  # lies above the folders of the sources
    table = streams.window_rows(0)
    streams.put(tmp_path, "labels/desk/w.parquet", table.select(["id", "t", "y"]))
    streams.put(tmp_path, "trusted/tower/deep/w.parquet", table.slice(0, 40))
    streams.put(tmp_path, "trusted/~/w.parquet", table.slice(0, 5))
    status = {line["object"]: line["status"] for line in take_in(space)}
    assert status["trusted/~/w.parquet"] == "quarantined"
    assert "trusted/w000.parquet" not in status  # no glob matches it: it is nobody's
    assert "labels/w000.parquet" not in status
    found = {n: space.tables.read(n)[SOURCE].to_pylist() for n in (LANDED, LANDED_LABELS, TRUSTED)}
    assert {n: {s: all_.count(s) for s in all_} for n, all_ in found.items()} == {
        LANDED: {"ewr": 100, "jfk": 300},
        LANDED_LABELS: {"desk": 400},
        TRUSTED: {"tower": 40},
    }
    refused = space.tables.read(QUARANTINE).to_pylist()
    assert [(line["kind"], line["check"]) for line in refused] == [("object", UnsafeKey.check)]
    assert "names the source" in refused[0]["reason"]


def test_without_a_folder_for_it_the_source_is_the_landing_zone(tmp_path):
    space = streams.project(tmp_path, 1, WITH_TRUSTED)
    streams.land_trusted(tmp_path, 0)
    take_in(space)
    for name in (LANDED, LANDED_LABELS, TRUSTED):
        assert set(space.tables.read(name)[SOURCE].to_pylist()) == {space.zone.name}


def rejected(home):
    """A trusted object of 20 rows: one has an infinite number, one a class that there is not."""
    sample = streams.window_rows(0).slice(0, 20)
    sample = changed(sample, x={0: float("inf")}, y={1: 7})
    streams.put(home, "trusted/w.parquet", sample)
    return sample


def test_rejected_trusted_rows_are_kept_whole_and_nobody_can_release_them(tmp_path):
    space = streams.project(tmp_path, 0, WITH_TRUSTED)
    sample = rejected(tmp_path)
    assert [line["rows"] for line in take_in(space)] == [19]
    lines = {line["check"]: line for line in space.tables.read(QUARANTINE).to_pylist()}
    assert {check: line[KEY] for check, line in lines.items()} == {
        "not_finite": sample["id"][0].as_py(),
        "label_class": sample["id"][1].as_py(),
    }
    for line in lines.values():
        assert line["kind"] == "trusted"
        assert "1 trusted row > 0 allowed" in line["evidence"]
        with pytest.raises(Refused, match="never learned from; deliver it again"):
            quarantine.act(space, line["entry"], "released", by="me", reason="looks fine")
        assert quarantine.act(space, line["entry"], "discarded", by="me", reason="seen") == 1
    assert space.tables.version(ACCEPTED) == space.tables.version(LABELS) == -1
    kept = space.tables.read(TRUSTED)
    assert kept[LABEL].null_count == 1  # of the row whose class there is not


def test_rejected_trusted_rows_are_no_rows_of_the_stream(tmp_path):
    streams.project(tmp_path, 3, WITH_TRUSTED)
    rejected(tmp_path)
    space = streams.quick(streams.workspace(tmp_path))
    made = list(run_windows(space, windows.undecided(space, None, None)))
    assert [(d.rows_in, d.quarantined) for d in made[:2]] == [(streams.ROWS, 0)] * 2
    assert made[1].labels_in == streams.ROWS


def test_a_replay_shares_the_trusted_rows(tmp_path):
    streams.land_trusted(tmp_path, 0, rows=30)
    take_in(streams.project(tmp_path, 0, WITH_TRUSTED))
    replay = streams.workspace(tmp_path, replay="again")
    assert replay.landing_tables.read(TRUSTED).num_rows == 30


def beside(**source: Any) -> Any:
    """The kit's definition (weeks, labels apart after 7 days) with trusted objects."""
    return ingest_kit.definition(trusted={"objects": "trusted/**"}, source=source)


moments = st.integers(0, 60).map(lambda days: ingest_kit.T0 + timedelta(days=days))


@settings(max_examples=40, deadline=None)
@given(moments, moments, st.booleans(), st.lists(st.sampled_from([0, 1, None]), min_size=1))
def test_a_trusted_row_is_known_with_its_label(watermark, arrived, by_arrival, classes):
    n, arrived = len(classes), arrived + timedelta(days=len(classes))
    table = ingest_kit.features(n).append_column("y", pa.array(classes, pa.int64()))
    of = beside(known="arrival" if by_arrival else "declared")
    mark = ingest_kit.tick(watermark)
    rows = ingest_kit.parse(table, "trusted/a.parquet", of, arrived=arrived, watermark=mark).rows
    floor = max(mark, ingest_kit.tick(arrived)) if by_arrival else mark
    events = np.asarray(rows[EVENT])
    known = np.maximum(events + ingest_kit.WEEK, floor)
    assert rows[KNOWN].to_pylist() == known.tolist()
    assert rows[WINDOW].to_pylist() == ((known - of.calendar.origin) // ingest_kit.WEEK).tolist()


@settings(max_examples=40, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(6)))
def test_trusted_rows_are_sorted_and_keep_their_own_label(order, late):
    table = ingest_kit.features(6).append_column("y", pa.array([i % 2 for i in range(6)]))
    hours = [ingest_kit.T0 + timedelta(hours=h // 2) for h in late]  # some at the same time
    table = table.set_column(1, "t", pa.array(hours, pa.timestamp("us", "UTC")))
    rows = ingest_kit.parse(table.take(pa.array(order)), "trusted/a.parquet", beside()).rows
    found = list(zip(*(rows[c].to_pylist() for c in (EVENT, KEY, ROW)), strict=True))
    assert found == sorted(found)
    assert rows[LABEL].to_pylist() == [int(k[1:]) % 2 for k in rows[KEY].to_pylist()]
    assert [order[row] for row in rows[ROW].to_pylist()] == [
        int(k[1:]) for k in rows[KEY].to_pylist()
    ]


CELL = st.sampled_from([0.5, None, float("inf"), 1e300])
GLOBS = [("features/**", "labels/**"), ("**", "labels/**"), ("**", None), ("*/**", "**/*.parquet")]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(GLOBS),
    st.lists(st.tuples(CELL, st.sampled_from([0, 1, 7, None])), min_size=2, max_size=8),
    st.sampled_from(["trusted/a.parquet", "trusted/labels/features/b.parquet"]),
)
def test_no_trusted_row_ever_is_a_row_or_a_label_of_the_stream(globs, cells, key):
    features, labels = globs
    n = len(cells)
    table = ingest_kit.features(n, x=pa.array([x for x, _ in cells], pa.float64()))
    table = table.append_column("y", pa.array([y for _, y in cells], pa.int64()))
    of = beside(features=features, labels=labels)
    classes = {y for _, y in cells} - {None}
    assume(classes != {7})  # not one class among them: the object is refused whole
    found = ingest_kit.parse(table, key, of)
    assert found.labels is None
    assert found.rows.schema.remove_metadata() == trusted_schema(dict(of.features))
    assert {reject.kind for reject in found.rejected} <= {"trusted"}
    kept = set(found.rows[ROW].to_pylist())
    lost = {r.row for r in found.rejected if r.check != "label_class"}
    assert kept | lost == set(range(n))
    assert not kept & lost


@pytest.mark.parametrize("together", [False, True])
def test_trusted_objects_land_apart_whatever_is_in_them(tmp_path, together):
    """Good, damaged, repeated and late objects: none reaches what is learned from."""
    pipeline = WITH_TRUSTED.replace('labels = "labels/**"\n', "") if together else WITH_TRUSTED
    space = streams.project(tmp_path, 0, pipeline)
    table = streams.window_rows(0)
    stream = table if together else table.drop_columns(["y"])
    streams.put(tmp_path, "features/w.parquet", stream)
    streams.put(tmp_path, "trusted/good.parquet", table.slice(0, 50))
    streams.put(tmp_path, "trusted/whole.parquet", table)  # the very bytes of the stream, perhaps
    streams.put(tmp_path, "trusted/bad.parquet", changed(table.slice(50, 9), x={3: float("inf")}))
    streams.put(tmp_path, "trusted/short.parquet", table.slice(60, 9).drop_columns(["x"]))
    take_in(space)
    take_in(space)
    trusted = set(space.tables.read(TRUSTED)[ROW].to_pylist())
    assert len(trusted) == streams.ROWS
    assert space.tables.read(TRUSTED).num_rows == 50 + streams.ROWS + 8
    assert space.tables.read(LANDED).num_rows == streams.ROWS
    ledger = space.tables.read(OBJECTS).to_pylist()
    mine = {line["sha256"] for line in ledger if line["role"] == "trusted"}
    others = {line["sha256"] for line in ledger if line["role"] != "trusted"}
    for name in (LANDED, LANDED_LABELS):
        if space.tables.version(name) >= 0:
            assert set(space.tables.read(name)[OBJECT].to_pylist()) <= others
    assert len(mine & others) == int(together)  # the same bytes, once in each role
    assert len(ledger) == 5


def test_roles_and_senders_by_key():
    definition = parse(BY_SENDER)
    assert role_of("trusted/x.parquet", definition) == "trusted"
    assert role_of("features/a/b/c.parquet", definition) == "features"
    assert source_of("features/a/b/c.parquet", "features", definition) == "a"
    assert source_of("labels/x.parquet", "labels", definition) is None
    with pytest.raises(UnsafeKey, match="names the source"):
        source_of("features/..x/c.parquet", "features", definition)


@pytest.mark.parametrize("glob", ["a{source}/**", "{source}/{source}/**", "{sender}/**"])
def test_a_source_is_one_whole_folder(glob):
    with pytest.raises(DefinitionError, match="one whole folder"):
        parse(streams.PIPELINE.replace("features/**", glob))


@pytest.mark.parametrize("glob", ["**", "features/**", "labels/**"])
def test_trusted_objects_have_a_place_of_their_own(glob):
    with pytest.raises(DefinitionError, match="would take every object"):
        parse(WITH_TRUSTED.replace("trusted/**", glob))


@pytest.mark.parametrize("section", ['[trusted]\nobjects = "t/**"', '[record]\nuri = "x.parquet"'])
def test_a_control_and_a_record_need_a_key(section):
    text = streams.PIPELINE.replace('labels = "labels/**"\nkey = ["id"]\n', "")
    assert parse(text).source.key == ()
    with pytest.raises(DefinitionError, match=r"source\.key: "):
        parse(f"{text}\n{section}\n")
