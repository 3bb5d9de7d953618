"""Reading data for ratchet init."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ratchet.adapters.samples import read_samples
from ratchet.errors import NotFound, TooLarge, Unreadable

TABLE = pa.table({"seq": [1, 2, 3], "color": ["red", None, "blue"], "size": [1.5, 2.5, None]})


def write(path: Path, table: pa.Table = TABLE) -> Path:
    """The table in the format that the path's ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        pq.write_table(table, path)
        return path
    if ".csv" in name:
        lines = [",".join(table.column_names)]
        rows = table.to_pylist()
        lines += [",".join("" if v is None else str(v) for v in r.values()) for r in rows]
    else:
        lines = [json.dumps(row) for row in table.to_pylist()]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    "name",
    ["a.parquet", "a.PQ", "a.csv", "a.csv.gz", "a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz"],
)
def test_every_format_gives_the_same_numbers(tmp_path, name):
    found = read_samples(write(tmp_path / name))
    assert found.column_names == TABLE.column_names
    assert found["seq"].to_pylist() == [1, 2, 3]
    assert found["size"].to_pylist() == [1.5, 2.5, None]
    assert found["color"].to_pylist()[0] == "red"


def test_a_directory_is_read_in_the_order_of_names(tmp_path):
    for number in (2, 1, 3):
        part = pa.table({"seq": [number], "color": ["red"]})
        write(tmp_path / "in" / f"{number}.csv", part)
    write(tmp_path / "in" / "deep" / "9.parquet", pa.table({"seq": [9], "extra": [1.0]}))
    write(tmp_path / "in" / ".hidden.csv")
    write(tmp_path / "in" / "_landed" / "x.csv")
    (tmp_path / "in" / "README.md").write_text("not data")
    (tmp_path / "in" / "4.csv").touch()
    (tmp_path / "in" / "0.csv").symlink_to(tmp_path / "in" / "1.csv")
    found = read_samples(tmp_path / "in")
    assert found["seq"].to_pylist() == [1, 2, 3, 9]
    assert found["extra"].to_pylist() == [None, None, None, 1.0]


def test_files_without_a_byte_are_told_apart_from_no_files(tmp_path):
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.jsonl").touch()
    with pytest.raises(NotFound, match="its 2 files are empty"):
        read_samples(tmp_path)
    with pytest.raises(Unreadable, match=r"a\.csv: cannot be read"):
        read_samples(tmp_path / "a.csv")


def test_integers_in_one_file_and_fractions_in_another_fit_together(tmp_path):
    write(tmp_path / "1.csv", pa.table({"size": [1]}))
    write(tmp_path / "2.csv", pa.table({"size": [1.5]}))
    assert read_samples(tmp_path)["size"].to_pylist() == [1.0, 1.5]


def test_line_ends_inside_quotes_stay_in_their_cell(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('seq,note\n1,"two\nlines"\n2,one\n')
    assert read_samples(path)["note"].to_pylist() == ["two\nlines", "one"]


@pytest.mark.parametrize("name", ["none.csv", "notes.txt", "empty", "a.parquet.gz"])
def test_nothing_to_read_is_said(tmp_path, name):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "a.parquet.gz").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match=name):
        read_samples(tmp_path / name)


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl", "a.csv.gz"])
def test_what_is_damaged_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"PAR1\x00\x01{broken\x00" if name != "a.csv" else b"a,b\n1,2,3\n")
    with pytest.raises(Unreadable, match=name):
        read_samples(path)


def test_files_whose_columns_do_not_fit_are_named(tmp_path):
    write(tmp_path / "1.csv", pa.table({"size": [1]}))
    write(tmp_path / "2.csv", pa.table({"size": ["large"]}))
    with pytest.raises(Unreadable, match="do not fit together"):
        read_samples(tmp_path)


def test_the_caps_hold_on_disk_in_the_footer_and_decoded(tmp_path):
    text = write(tmp_path / "a.csv")
    with pytest.raises(TooLarge, match="to the whole directory"):
        read_samples(text, max_bytes=10)
    constant = pa.table({"a": pa.array([1] * 200_000), "b": pa.array([2] * 200_000)})
    bomb = write(tmp_path / "bomb.parquet", constant)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(TooLarge, match="cells"):
        read_samples(bomb, max_bytes=100_000)
    with pytest.raises(TooLarge, match="decoded"):
        read_samples(bomb, max_bytes=1_000_000)


@pytest.mark.parametrize(
    ("texts", "zone"),
    [
        (["2024-03-04T10:00:00Z", "2024-03-04T11:00:00Z"], "UTC"),
        (["2024-03-04T11:00:00+01:00", "2024-03-04T12:00:00+0100"], "UTC"),
        (["2024-03-04T10:00:00Z", None], "UTC"),
        (["2024-03-04 10:00:00", "2024-03-04 11:00:00"], None),
        (["2024-03-04T10:00:00Z", "2024-03-04T11:00:00"], None),
        (["2024-03-04", "2024-03-05"], None),
    ],
)
def test_times_in_json_keep_whether_they_name_a_zone(tmp_path, texts, zone):
    path = write(tmp_path / "a.jsonl", pa.table({"x": [1.5, 2.5], "at": texts, "y": [0, 1]}))
    found = read_samples(path)
    assert found.column_names == ["x", "at", "y"]
    assert found.schema.field("at").type.tz == zone
    assert found["at"][0].as_py().hour == (0 if len(texts[0]) == 10 else 10)
