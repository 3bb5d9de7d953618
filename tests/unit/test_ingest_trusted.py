"""Trusted objects and senders: what lands where, and under whose name."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ratchet.contracts.columns import (
    KEY,
    KNOWN,
    LABEL,
    LANDED,
    LANDED_LABELS,
    OBJECTS,
    QUARANTINE,
    SOURCE,
    TRUSTED,
    WINDOW,
    trusted_schema,
)
from ratchet.contracts.definition import parse
from ratchet.errors import DefinitionError, UnsafeKey
from ratchet.ingest import role_of, source_of
from tasks.ingest import take_in
from tests import streams

WITH_TRUSTED = streams.PIPELINE + '\n[trusted]\nobjects = "trusted/**"\n'
BY_SENDER = WITH_TRUSTED.replace('"features/**"', '"features/{source}/**"')


def put(home, key, table):
    path = home / "landing" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    pq.write_table(table, out)
    path.write_bytes(out.getvalue())


def test_a_trusted_object_lands_once_apart_from_the_stream(tmp_path):
    space = streams.project(tmp_path, 1, WITH_TRUSTED)
    sample = streams.window_rows(0).slice(0, 60)
    put(tmp_path, "trusted/w0.parquet", sample)
    put(tmp_path, "trusted/again.parquet", sample)
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
    put(tmp_path, "trusted/w0.parquet", streams.window_rows(0).slice(0, 20))
    take_in(space)
    rows = space.tables.read(TRUSTED)
    assert min(rows[KNOWN].to_pylist()) >= streams.WINDOW  # the label delay is one window
    assert set(rows[WINDOW].to_pylist()) == {1}


def test_a_trusted_row_without_a_label_keeps_null(tmp_path):
    space = streams.project(tmp_path, 0, WITH_TRUSTED)
    sample = streams.window_rows(0).slice(0, 20)
    labels = pa.array([None, *sample["y"].to_pylist()[1:]], pa.int64())
    put(
        tmp_path,
        "trusted/w.parquet",
        sample.set_column(sample.column_names.index("y"), "y", labels),
    )
    take_in(space)
    assert space.tables.read(TRUSTED)[LABEL].null_count == 1


def test_a_trusted_object_without_its_label_column_is_quarantined(tmp_path):
    space = streams.project(tmp_path, 0, WITH_TRUSTED)
    put(tmp_path, "trusted/w.parquet", streams.window_rows(0).drop_columns(["y"]))
    take_in(space)
    assert space.tables.read(OBJECTS)["status"].to_pylist() == ["quarantined"]
    assert "y" in space.tables.read(QUARANTINE)["reason"][0].as_py()
    assert space.tables.version(TRUSTED) == -1


def test_the_folder_names_the_sender(tmp_path):
    space = streams.project(tmp_path, 0, BY_SENDER)
    rows = streams.window_rows(0).drop_columns(["y"])
    put(tmp_path, "features/ewr/w.parquet", rows.slice(0, 100))
    put(tmp_path, "features/jfk/w.parquet", rows.slice(100))
    put(tmp_path, "features/~x/w.parquet", rows.slice(0, 5))
    lines = {line["object"]: line for line in take_in(space)}
    assert lines["features/~x/w.parquet"]["status"] == "quarantined"
    found = space.tables.read(LANDED)[SOURCE].to_pylist()
    assert (found.count("ewr"), found.count("jfk")) == (100, streams.ROWS - 100)


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
