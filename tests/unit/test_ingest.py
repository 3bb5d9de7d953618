"""Parsing of objects: formats, types, times, labels; one behaviour a test."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts import columns as c
from ratchet.errors import TooLarge, Unreadable
from ratchet.ingest import NEVER, Parsed, pages
from ratchet.ingest.pages import Chunk, read_footer, walk_pages
from ratchet.ingest.thrift import read_struct
from tests.ingest_kit import (
    HOUR,
    T0,
    WEEK,
    checks,
    counted,
    definition,
    features,
    labels,
    parquet,
    parse,
    tick,
    together,
)

HEAD = "id,t,x,c\n"
LINE = "a,2024-01-01T00:00:00Z,1.5,u\n"


def rows(parsed: Parsed) -> list[dict[str, Any]]:
    assert parsed.rows is not None
    found: list[dict[str, Any]] = parsed.rows.to_pylist()
    return found


def column(parsed: Parsed, name: str) -> list[Any]:
    return [row[name] for row in rows(parsed)]


def label_values(parsed: Parsed) -> list[float]:
    assert parsed.labels is not None
    found: list[float] = parsed.labels[c.LABEL].to_pylist()
    return found


# Provenance


def test_every_row_carries_its_provenance_and_both_times() -> None:
    parsed = parse(features(2), watermark=tick(T0) + 2 * WEEK)
    assert parsed.rows is not None
    assert parsed.rows.schema.equals(c.rows_schema({"x": "number", "c": "category"}))
    second = rows(parsed)[1]
    digest = second.pop(c.OBJECT)
    assert len(digest) == 64
    assert second == {
        c.KEY: "k1", c.EVENT: tick(T0) + HOUR, c.KNOWN: tick(T0) + 2 * WEEK, c.WINDOW: 2,
        c.SOURCE: "in", c.ROW: 1, "x": 1.0, "c": "c1",
    }  # fmt: skip


def test_before_anything_is_decided_a_row_is_known_at_its_event() -> None:
    parsed = parse(features(3), watermark=NEVER)
    assert column(parsed, c.KNOWN) == column(parsed, c.EVENT)


def test_known_by_arrival() -> None:
    of = definition(source={"known": "arrival"})
    parsed = parse(features(1), of=of, arrived=T0 + timedelta(days=3))
    assert column(parsed, c.KNOWN) == [tick(T0 + timedelta(days=3))]


def test_rows_are_sorted_by_event_key_and_row() -> None:
    table = features(4, id=["b", "a", "a", "z"], t=pa.array([T0, T0, T0, T0 - timedelta(1)]))
    found = [(r[c.KEY], r[c.ROW]) for r in rows(parse(table))]
    assert found == [("z", 3), ("a", 1), ("a", 2), ("b", 0)]


# Keys


def test_without_key_columns_the_key_is_object_and_row() -> None:
    of = together(source={"key": ()})
    parsed = parse("t,x,c,y\n2024-01-01,1,u,0\n2024-01-02,1,u,1\n", "d/a.csv", of)
    assert column(parsed, c.KEY) == ["d/a.csv#0", "d/a.csv#1"]


def test_several_key_columns_are_joined_without_collisions() -> None:
    of = definition(source={"key": ["id", "k"]})
    table = features(4, id=["a|b", "a", "a\\", None]).append_column(
        "k", pa.array(["c", "b|c", "b", "x"])
    )
    parsed = parse(table, of=of)
    assert sorted(column(parsed, c.KEY)) == ["a\\\\|b", "a\\|b|c", "a|b\\|c"]
    assert checks(parsed) == ["null_key"]


def test_keys_may_be_integers_also_as_floats_and_times() -> None:
    assert column(parse(features(2, id=[1, 2])), c.KEY) == ["1", "2"]
    parsed = parse(features(3, id=[1.0, 2.0, None]))
    assert column(parsed, c.KEY) == ["1", "2"]
    assert checks(parsed) == ["null_key"]
    assert len(rows(parse(features(1, id=pa.array([T0]))))) == 1
    with pytest.raises(Unreadable, match="column 'id': holds binary, expected keys"):
        parse(features(1, id=pa.array([b"x"])))
    with pytest.raises(Unreadable, match="fractions"):
        parse(features(1, id=[0.5]))


def test_an_empty_key_is_rejected() -> None:
    parsed = parse(HEAD + LINE.replace("a,", ",", 1) + LINE, "features/a.csv")
    assert [(r.check, r.key, r.event) for r in parsed.rejected] == [("null_key", None, tick(T0))]


# Numbers and categories


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([True, False, None]), [1.0, 0.0, None]),
        (pa.array([1, 2, None], pa.uint8()), [1.0, 2.0, None]),
        (pa.array([np.float16(1.5)] * 3, pa.float16()), [1.5] * 3),
        (pa.array([Decimal("1.25"), None, Decimal(3)]), [1.25, None, 3.0]),
        (pa.array([1.0, float("nan"), None]), [1.0, None, None]),
        (pa.nulls(3), [None] * 3),
        (pa.nulls(3, pa.string()), [None] * 3),
        (pa.array([5, 5, 7]).dictionary_encode(), [5.0, 5.0, 7.0]),
    ],
)
def test_numbers(values: pa.Array, expected: list[float | None]) -> None:
    assert column(parse(features(3, x=values)), "x") == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, 2, None]), ["1", "2", None]),
        (pa.array([1.0, float("nan"), None]), ["1", None, None]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array(["1.0", "NA", None]), ["1.0", "NA", None]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array(["a", "b", "a"], pa.large_string()), ["a", "b", "a"]),
        (pa.array(["a", "b", "a"], pa.string_view()), ["a", "b", "a"]),
        (pa.nulls(3), [None] * 3),
    ],
)
def test_categories(values: pa.Array, expected: list[str | None]) -> None:
    assert column(parse(features(3, c=values)), "c") == expected


@pytest.mark.parametrize("values", [pa.array([T0]), pa.array([b"x"]), pa.array([1.5])])
def test_what_is_no_category(values: pa.Array) -> None:
    with pytest.raises(Unreadable, match="column 'c': holds"):
        parse(features(1, c=values))


@pytest.mark.parametrize("values", [pa.array([T0]), pa.array([[1.0]]), pa.array([{"a": 1}])])
def test_what_is_no_number(values: pa.Array) -> None:
    with pytest.raises(Unreadable, match="column 'x': holds"):
        parse(features(1, x=values))


def test_text_cells_that_are_numbers_and_that_are_none() -> None:
    cells = {"1": 1.0, " 2 ": 2.0, "-3.5e1": -35.0, ".5": 0.5, "true": 1.0, "False": 0.0,
             "NA": None, "": None, "nan": None, "null": None, "+4": 4.0}  # fmt: skip
    text = HEAD + "".join(f"k{i:02},2024-01-01,{v},u\n" for i, v in enumerate(cells))
    text += "k99,2024-01-01,abc,u\nk98,2024-01-01,1_000,u\n"
    parsed = parse(text, "features/a.csv")
    assert column(parsed, "x") == list(cells.values())
    assert [(r.check, r.payload["x"]) for r in parsed.rejected] == [
        ("type", "abc"),
        ("type", "1_000"),
    ]
    assert parsed.rejected[0].reason == "x: not a number (found 'abc')"


def test_a_text_column_without_one_number_is_retyped() -> None:
    with pytest.raises(Unreadable, match="column 'x': holds text, expected numbers"):
        parse(HEAD + LINE.replace("1.5", "abc"), "features/a.csv")


# CSV


def test_csv_quotes_newlines_byte_order_mark_and_crlf() -> None:
    text = '\ufeff"id",t,x,c\r\n"a,1",2024-01-01,1,"two\r\nlines"\r\n\r\nb,2024-01-01,2,""\r\n'
    parsed = parse(text, "features/a.csv")
    assert [(r[c.KEY], r["c"]) for r in rows(parsed)] == [("a,1", "two\r\nlines"), ("b", None)]


def test_csv_lines_of_another_length_are_set_apart() -> None:
    text = HEAD + LINE + "b,2024-01-01\n" + LINE.replace("a,", "c,", 1) + "d,1,2,3,4\n"
    parsed = parse(text, "features/a.csv")
    assert [(r[c.KEY], r[c.ROW]) for r in rows(parsed)] == [("a", 0), ("c", 2)]
    assert [(r.check, r.row, r.payload) for r in parsed.rejected] == [
        ("row_shape", 1, {"line": "b,2024-01-01"}), ("row_shape", 3, {"line": "d,1,2,3,4"}),
    ]  # fmt: skip
    assert "2 cells, the header has 4" in parsed.rejected[0].reason
    with pytest.raises(Unreadable, match="no row fits the header: 2 cells"):
        parse(HEAD + "a,b\n", "features/a.csv")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("id;t;x;c\n", "separated by ';', expected commas"),
        ("id\tt\tx\tc\n", "separated by '\\\\t', expected commas"),
        ("\n\n", "no header line"),
        ("id,id,t,x,c\n", "columns stand twice: 'id'"),
        ('"id', "not CSV: the header line"),
        (
            "id,t,x,c\nk\u00e9,2024-01-01,1,u\n".encode("latin-1"),
            "byte 0xe9 near offset 10.*Latin-1",
        ),
        ("id,t,x,c\n".encode("utf-16"), "UTF-16, expected UTF-8"),
        (("x," * 20_001).encode(), "20002 columns, allowed are 20000"),
    ],
)
def test_what_is_no_csv(data: bytes | str, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        parse(data, "features/a.csv")


def test_csv_decoded_over_the_cap() -> None:
    text = HEAD + "".join(f"{i},2024-01-01,1,u\n" for i in range(60_000))
    with pytest.raises(TooLarge, match=r"more than 1 MiB.*max_decoded_mib"):
        parse(text, "features/a.csv", definition(source={"max_decoded_mib": 1}))


# JSON Lines


def json_lines(*lines: Any) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_json_lines_of_mixed_types() -> None:
    base = {"id": "a", "t": "2024-01-01", "x": 1, "c": "u"}
    text = json_lines(
        base,
        {**base, "id": "b", "x": 2.5, "c": 7},
        {**base, "id": "c", "x": None, "c": True},
        {**base, "id": "d", "x": "3"},
        {**base, "id": "e", "x": True},
        {"id": "f", "t": "2024-01-01"},
        {**base, "id": "g", "x": [1]},
        {**base, "id": "h", "x": 10**400},
        {**base, "id": "i", "c": "\ud800"},
    )
    parsed = parse("\ufeff" + text + "\n \n", "features/a.jsonl")
    assert [(r[c.KEY], r["x"], r["c"]) for r in rows(parsed)] == [
        ("a", 1.0, "u"), ("b", 2.5, "7"), ("c", None, "true"), ("d", 3.0, "u"), ("e", 1.0, "u"),
        ("f", None, None),
    ]  # fmt: skip
    assert [(r.key, r.check) for r in parsed.rejected] == [
        ("g", "type"), ("h", "not_finite"), ("i", "unsafe_text"),
    ]  # fmt: skip


def test_json_numbers_stay_numbers_over_many_lines() -> None:
    lines = [
        {"id": i, "t": "2024-01-01", "x": i if i < 6000 else i + 0.5, "c": 1.0} for i in range(9000)
    ]
    parsed = parse(json_lines(*lines), "features/a.ndjson")
    assert sum(column(parsed, "x")) == sum(line["x"] for line in lines)
    assert set(column(parsed, "c")) == {"1"}


def test_json_lines_that_are_no_objects_are_set_apart() -> None:
    good = json_lines({"id": "a", "t": "2024-01-01", "x": 1, "c": "u"})
    bad = ['{"id": ', "[1]", '{"id": 1, "id": 2}', "[" * 100_000, "7"]
    parsed = parse(good + "\n".join(bad), "features/a.jsonl")
    assert len(rows(parsed)) == 1
    assert [(r.check, r.row) for r in parsed.rejected] == [("row_shape", i + 1) for i in range(5)]
    assert parsed.rejected[1].payload == {"line": "[1]"}
    with pytest.raises(Unreadable, match="not JSON Lines: line 1"):
        parse('[{"id": 1}]', "features/a.json")


def test_json_infinities_and_nan() -> None:
    text = (
        '{"id":1,"t":"2024-01-01","x":NaN,"c":"u"}\n{"id":2,"t":"2024-01-01","x":Infinity,"c":"u"}'
    )
    parsed = parse(text, "features/a.jsonl")
    assert column(parsed, "x") == [None]
    assert checks(parsed) == ["not_finite"]


def test_json_added_and_missing_columns_are_named() -> None:
    line = {"id": "a", "t": "2024-01-01", "x": 1, "c": "u"}
    with pytest.raises(Unreadable, match="undeclared columns: 'new'"):
        parse(json_lines(line, {**line, "new": 1}), "features/a.jsonl")
    with pytest.raises(Unreadable, match="missing: 'x', 'c'"):
        parse(json_lines({"id": "a", "t": "2024-01-01"}), "features/a.jsonl")


def test_json_over_the_cap() -> None:
    line = json_lines({"id": "a" * 1000, "t": "2024-01-01", "x": 1, "c": "u"})
    with pytest.raises(TooLarge, match="more than 1 MiB"):
        parse(line * 3000, "features/a.jsonl", definition(source={"max_decoded_mib": 1}))


# Containers


def marked(archive: bytes, at: int, value: int) -> bytes:
    """A zip of one member whose headers say something else: at 8 the flags, at 10 the method."""
    found, central = bytearray(archive), archive.index(b"PK\x01\x02")
    found[at - 2], found[central + at] = value, value  # the local header lacks one field
    return bytes(found)


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def test_all_containers_give_the_same_rows() -> None:
    text = (HEAD + LINE).encode()
    line = json_lines({"id": "a", "t": "2024-01-01T00:00:00Z", "x": 1.5, "c": "u"}).encode()
    one = features(1, id=["a"], x=[1.5], c=["u"])
    objects = {
        "a.csv": text, "A.CSV": text, "a.csv.gz": gzip.compress(text),
        "two.csv.gz": gzip.compress(text[:5]) + gzip.compress(text[5:]), "a.jsonl": line,
        "a.jsonl.gz": gzip.compress(line), "a.parquet": parquet(one), "noname": parquet(one),
        "a.zip": zipped(("data/", b""), ("data/a.csv", text)),
        "p.zip": zipped(("a.pq", parquet(one))),
    }  # fmt: skip
    found = [
        [(r[c.KEY], r[c.EVENT], r["x"], r["c"]) for r in rows(parse(data, f"features/{key}"))]
        for key, data in objects.items()
    ]
    assert all(each == [("a", tick(T0), 1.5, "u")] for each in found)


@pytest.mark.parametrize(
    ("data", "key", "message"),
    [
        (b"x", "a.xlsx", r"unknown format '\.xlsx'; expected \.parquet, \.csv"),
        (b"x", "noending", r"unknown format '\(no ending\)'"),
        (b"PAR1x", "a.parquet", "truncated"),
        (b"x" * 50, "a.parquet", "truncated"),
        (b"\x1f\x8b broken", "a.csv.gz", "gzip is damaged"),
        (gzip.compress(HEAD.encode(), mtime=0)[:-9], "a.csv.gz", "gzip is damaged"),
        (b"PK broken", "a.zip", "zip is damaged"),
        (marked(zipped(("a.csv", b"x")), 10, 99), "a.zip", "compression method is not supported"),
        (marked(zipped(("a.csv", b"x")), 8, 1), "a.zip", "password required"),
        (zipped(), "a.zip", "holds 0 files, expected exactly 1"),
        (zipped(("a.csv", b"x"), ("b.csv", b"x")), "a.zip", "holds 2 files"),
        (zipped(("a.zip", zipped(("a.csv", b"x")))), "a.zip", "unknown format"),
        (zipped(("a.csv", b"")), "a.zip", "0 bytes"),
    ],
)
def test_what_cannot_be_unpacked(data: bytes, key: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        parse(data, f"features/{key}")


def test_an_object_over_the_byte_cap() -> None:
    with pytest.raises(TooLarge, match=r"2 MiB, allowed are 1 MiB.*max_object_mib"):
        parse(b"x" * 2**21, "features/a.csv", definition(source={"max_object_mib": 1}))


# Parquet


def test_parquet_with_many_row_groups_and_every_codec() -> None:
    table = features(1000)
    for options in (
        {"row_group_size": 100}, {"compression": "none"}, {"compression": "gzip"},
        {"data_page_version": "2.0"}, {"use_dictionary": False}, {"data_page_size": 100},
    ):  # fmt: skip
        parsed = parse(parquet(table, **options))
        assert column(parsed, "x") == [float(i) for i in range(1000)]


def test_parquet_column_names_with_dots() -> None:
    of = definition(features={"a.b": "number", "a": "category"})
    table = features(2).drop_columns(["x", "c"])
    table = table.append_column("a.b", pa.array([1.0, 2.0])).append_column(
        "a", pa.array(["u", "v"])
    )
    assert column(parse(table, of=of), "a.b") == [1.0, 2.0]


def test_parquet_with_a_pandas_index_and_strings_that_are_not_utf8() -> None:
    table = features(2).append_column("__index_level_0__", pa.array([0, 1]))
    assert len(rows(parse(table))) == 2
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    with pytest.raises(Unreadable, match="UTF8"):
        parse(features(1, c=broken))


def test_parquet_fixed_width_values_and_old_timestamps() -> None:
    decimals = pa.array([Decimal("1.5"), Decimal("2.5")], pa.decimal128(38, 2))
    data = parquet(features(2, x=decimals), use_deprecated_int96_timestamps=True)
    of = definition(time={"zone": "UTC"})
    assert column(parse(data, of=of), "x") == [1.5, 2.5]


def test_parquet_without_row_groups() -> None:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.ParquetWriter(out, features(1).schema).close()
    assert rows(parse(out.getvalue())) == []


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_as_parquet_end_in_a_clear_refusal(noise: bytes) -> None:
    for data in (b"PAR1" + noise + len(noise).to_bytes(4, "little") + b"PAR1", b"PAR1" + noise):
        with pytest.raises((Unreadable, TooLarge)):
            parse(data)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_text_end_in_rows_or_a_clear_refusal(noise: bytes) -> None:
    for key in ("a.csv", "a.jsonl", "a.csv.gz", "a.zip"):
        for data in (noise, HEAD.encode() + noise):
            try:
                parsed = parse(data, f"features/{key}")
            except Unreadable:
                continue
            assert parsed.rows is not None


@pytest.mark.parametrize(
    ("footer", "message"),
    [
        (b"\x00", "its footer: KeyError"),
        (bytes.fromhex("291c48016100 291c191c180161002600 0000"), "another file"),
        (bytes.fromhex("290c 291c190c2601 0000"), "-1 where a count is expected"),
    ],
)  # fmt: skip
def test_footers_that_lie(footer: bytes, message: str) -> None:
    data = b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"
    with pytest.raises(Unreadable, match=message):
        read_footer(data)


def test_a_footer_over_its_cap_and_pages_beyond_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="pages at bytes 0-9 of a file of 3 bytes"):
        walk_pages(b"abc", Chunk(("x",), 1, 0, 1, 0, 9))
    data = parquet(features(3000), data_page_size=64, write_batch_size=8)
    monkeypatch.setattr(pages, "MAX_PAGES", 2)
    with pytest.raises(TooLarge, match="more than 2 pages in one column"):
        parse(data)
    monkeypatch.setattr(pages, "MAX_FOOTER", 10)
    with pytest.raises(TooLarge, match="allowed are 10"):
        parse(data)


def test_times_that_python_cannot_show_are_quarantined_as_integers() -> None:
    times = pa.array([2**62, 1], pa.int64()).cast(pa.timestamp("us", "UTC"))
    parsed = parse(features(2, t=times), arrived=None)
    assert [(r.check, r.payload["t"]) for r in parsed.rejected] == [("time", 2**62)]


@given(st.binary(max_size=80))
def test_any_bytes_as_page_headers_end(noise: bytes) -> None:
    try:
        headers = walk_pages(noise, Chunk(("x",), 1, 0, 1, 0, len(noise)))
    except (Unreadable, TooLarge):
        return
    assert sum(h.compressed for h in headers) <= len(noise)


@pytest.mark.parametrize(
    "data",
    [
        b"\x1c" * 40,  # structs inside structs
        b"\x19\xfc" + b"\xff" * 9 + b"\x01",  # a list longer than the file
        b"\x18\xff\x01",  # text longer than the file
        b"\x15" + b"\xff" * 12,  # a number without end
        b"\x1b\x00",  # a map
        b"\x19" + b"\x19" * 40,  # lists inside lists
    ],
)
def test_hostile_metadata(data: bytes) -> None:
    with pytest.raises(Unreadable, match="Parquet is damaged"):
        read_struct(data, 0)


def test_metadata_of_every_type() -> None:
    data = bytes([0x11, 0x12, 0x13, 7, 0x17, *range(8), 0x05, 0x22, 6, 0x19, 0x21, 1, 2, 0])
    fields, end = read_struct(data, 0)
    assert fields[1] is True and fields[2] is False and fields[3] == 7
    assert (fields[4], fields[17], fields[18]) == (bytes(range(8)), 3, [1, 2])
    assert end == len(data)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (pa.ArrowInvalid("offset overflow"), Unreadable),
        (OverflowError("too large"), Unreadable),
        (pa.ArrowMemoryError("malloc failed"), TooLarge),
    ],
)
def test_what_arrow_cannot_do_is_the_object_s_error(
    failure: Exception, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise failure

    monkeypatch.setattr("ratchet.ingest.parse.number", fail)
    with pytest.raises(expected, match=str(failure)):
        parse(features())
    monkeypatch.setattr("ratchet.ingest.parquet._read", fail)
    with pytest.raises(expected, match=str(failure)):
        parse(features())


# Times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-01", T0),
        ("2024-01-01T05:00Z", T0 + timedelta(hours=5)),
        ("2024-01-01 05:00:00+02:00", T0 + timedelta(hours=3)),
        ("2024-01-01T05:00:00.1234567+0000", T0 + timedelta(hours=5, microseconds=123456)),
        ("2024-01-01 05:00:00 UTC", T0 + timedelta(hours=5)),
    ],
)
def test_iso_text(text: str, expected: datetime) -> None:
    other = "x,2024-01-01,1,u\n"  # another form beside it
    parsed = parse(f"{HEAD}a,{text},1,u\n{other}", "features/a.csv")
    assert {r[c.KEY]: r[c.EVENT] for r in rows(parsed)}["a"] == tick(expected)


def test_times_that_are_none_reject_their_row() -> None:
    times = ["2024-02-30T00:00:00Z", "", "soon", "2024-01-01", "0000-01-01", "2024-13-01"]
    text = HEAD + "".join(f"k{i},{t},1,u\n" for i, t in enumerate(times))
    parsed = parse(text, "features/a.csv")
    assert column(parsed, c.KEY) == ["k3"]
    assert checks(parsed) == ["time"] * 5
    assert {(r.event, r.known) for r in parsed.rejected} == {(None, None)}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_every_unit(unit: str) -> None:
    parsed = parse(parquet(features(2, t=pa.array([T0, None], pa.timestamp(unit, "Asia/Tokyo")))))
    assert column(parsed, c.EVENT) == [tick(T0)]
    assert checks(parsed) == ["time"]


def test_dates_and_zones() -> None:
    for kind in (pa.date32(), pa.date64()):
        table = features(2, t=pa.array([date(2024, 1, 1), None], kind))
        assert column(parse(table), c.EVENT) == [tick(T0)]
        of = definition(time={"zone": "America/New_York"})
        assert column(parse(table, of=of), c.EVENT) == [tick(T0) + 5 * HOUR]


def test_times_beyond_the_calendar_are_rejected() -> None:
    far = pa.array([2**62, -(2**62), 0], pa.int64()).cast(pa.timestamp("us", "UTC"))
    parsed = parse(parquet(features(3, t=far)), arrived=None)
    assert checks(parsed) == ["time", "time"]
    days = pa.array([2**31 - 1, 0], pa.int32()).cast(pa.date32())
    assert checks(parse(features(2, t=days), arrived=None)) == ["time"]


@pytest.mark.parametrize("values", [pa.array([1704067200]), pa.array([1.5]), pa.array([True])])
def test_integers_are_no_timestamps(values: pa.Array) -> None:
    with pytest.raises(Unreadable, match=r"column 't': holds .*time\.kind = \"integer\""):
        parse(features(1, t=values))


def test_text_that_is_no_time_at_all() -> None:
    with pytest.raises(Unreadable, match="holds text such as '1704067200', expected ISO 8601"):
        parse(HEAD + "a,1704067200,1,u\n", "features/a.csv")


def test_a_column_of_no_times_rejects_every_row() -> None:
    assert checks(parse(features(2, t=pa.nulls(2)))) == ["time", "time"]
    assert checks(parse(features(2, t=pa.nulls(2, pa.string())))) == ["time", "time"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([5, None]), [5]),
        (pa.array([5.0, 5.5]), [5]),
        (pa.array([5, 2**63 + 5], pa.uint64()), [5]),
        (pa.array([5, -(2**63)]), [5]),
        (pa.array([7], pa.int8()), [7]),
    ],
)
def test_integer_clock(values: pa.Array, expected: list[int]) -> None:
    table = features(len(values), t=values).append_column("y", pa.array([1] * len(values)))
    parsed = parse(parquet(table), "a.parquet", counted())
    assert column(parsed, c.EVENT) == expected
    assert checks(parsed) == ["time"] * (len(values) - 1)


def test_integer_clock_in_text() -> None:
    text = "id,t,x,c,y\n" + "".join(
        f"k{i},{t},1,u,1\n"
        for i, t in enumerate(["5", "+6", "7.0", "x", "99999999999999999999", ""])
    )
    parsed = parse(text, "a.csv", counted())
    assert column(parsed, c.EVENT) == [5, 6, 7]
    assert checks(parsed) == ["time"] * 3
    for data in ("id,t,x,c,y\na,soon,1,u,1\n", features(1).append_column("y", pa.array([1]))):
        with pytest.raises(
            Unreadable, match=r'expected integers: declare time\.kind = "timestamp"'
        ):
            parse(data, "a.csv", counted())


def test_before_anything_is_decided_far_is_counted_from_the_object_itself() -> None:
    text = "id,t,x,c,y\n" + "".join(f"k{i},{10**9 + i},1,u,1\n" for i in range(5))
    parsed = parse_integers(text + f"far,{10**9 + 10**8},1,u,1\n")
    assert len(rows(parsed)) == 5
    assert checks(parsed) == ["far_future"]
    assert "the rest of the object" in parsed.rejected[0].reason


def parse_integers(text: str) -> Parsed:
    from ratchet.ingest import parse_object

    return parse_object(
        text.encode(), "a.csv", "0" * 64, None, "both", counted(), watermark=NEVER, zone_name="in"
    )


def test_more_windows_than_the_tables_can_number() -> None:
    parsed = parse_integers(
        "id,t,x,c,y\n" + "".join(f"k{i},{4 * 10**18},1,u,1\n" for i in range(2))
    )
    assert checks(parsed) == ["window_range"] * 2


# Labels


@pytest.mark.parametrize(
    ("classes", "cells", "expected"),
    [
        ([0, 1], ["1", "0", "1.0", "true", "False", "TRUE"], [1, 0, 1, 1, 0, 1]),
        ([False, True], ["1", "0", "true", "False", "True", "FALSE"], [1, 0, 1, 0, 1, 0]),
        (["no", "yes"], ["yes", " no ", "yes", "no", "yes", "no"], [1, 0, 1, 0, 1, 0]),
        ([-1, 1], ["-1", "1", "-1.0", "1", "1", "1"], [0, 1, 0, 1, 1, 1]),
        (["NA", "b"], ["NA", "b", "NA", "b", "b", "b"], [0, 1, 0, 1, 1, 1]),
    ],
)
def test_classes_in_text(classes: list[Any], cells: list[str], expected: list[int]) -> None:
    text = "id,t,y\n" + "".join(f"k{i},2024-01-01,{v}\n" for i, v in enumerate(cells))
    of = definition(label={"classes": classes})
    assert label_values(parse(text, "labels/a.csv", of)) == expected


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 0]), pa.array([1.0, 0.0]), pa.array([True, False]), pa.array(["1", "0"]),
        pa.array(["1", "0"]).dictionary_encode(),
    ],
)  # fmt: skip
def test_classes_in_parquet(values: pa.Array) -> None:
    assert label_values(parse(labels(2, y=values), "labels/a.parquet")) == [1.0, 0.0]


def test_labels_outside_the_classes_are_rejected() -> None:
    parsed = parse(labels(3, y=[0, 1, 7]), "labels/a.parquet")
    assert [(r.kind, r.check, r.key) for r in parsed.rejected] == [("label", "label_class", "k2")]
    assert parsed.rejected[0].reason == "y: not one of the declared classes 0, 1 (found 7)"
    with pytest.raises(Unreadable, match=r"column 'y': no value is a declared class.*'5'"):
        parse(labels(2, y=[5, 6]), "labels/a.parquet")
    text = "id,t,x,c,y\na,2024-01-01,1,u,7\nb,2024-01-01,1,u,1\n"
    both = parse(text, "a.csv", together())
    assert column(both, c.KEY) == ["a", "b"]  # the row is fine, its label is not
    assert label_values(both) == [1.0]
    assert [(r.kind, r.check) for r in both.rejected] == [("label", "label_class")]


def test_a_rejected_row_takes_its_label_along() -> None:
    text = "id,t,x,c,y\na,2024-01-01,inf,u,1\nb,2024-01-01,1,u,1\n"
    parsed = parse(text, "a.csv", together())
    assert parsed.labels is not None
    assert parsed.labels[c.KEY].to_pylist() == ["b"]
    assert checks(parsed) == ["not_finite"]


def test_regression_labels() -> None:
    of = together(label={"objective": "regression", "classes": []})
    text = "id,t,x,c,y\n" + "".join(
        f"k{i},2024-01-01,1,u,{v}\n" for i, v in enumerate(["1.5", "x", "-2", ""])
    )
    parsed = parse(text, "a.csv", of)
    assert label_values(parsed) == [1.5, -2.0]
    assert [(r.kind, r.check) for r in parsed.rejected] == [("label", "type")]


def test_labels_without_the_time_column_need_to_say_when_they_were_known() -> None:
    of = definition(label={"known_column": "seen"})
    seen = pa.array([T0 + timedelta(days=8), None], pa.timestamp("us", "UTC"))
    table = labels(2).drop_columns(["t"]).append_column("seen", seen)
    parsed = parse(table, "labels/a.parquet", of)
    assert parsed.labels is not None
    line = parsed.labels.to_pylist()[0]
    assert (line[c.EVENT], line[c.KNOWN]) == (
        tick(T0 + timedelta(days=1)),
        tick(T0 + timedelta(days=8)),
    )
    assert checks(parsed) == ["time"]
    with pytest.raises(Unreadable, match="missing: 't'"):
        parse(labels(2).drop_columns(["t"]), "labels/a.parquet")


def test_labels_with_the_time_column_and_a_known_column() -> None:
    of = definition(label={"known_column": "seen"})
    seen = pa.array(
        [T0 + timedelta(days=8), T0 - timedelta(days=8), None], pa.timestamp("us", "UTC")
    )
    parsed = parse(labels(3).append_column("seen", seen), "labels/a.parquet", of)
    assert parsed.labels is not None
    known = parsed.labels[c.KNOWN].to_pylist()
    assert known == [tick(T0 + timedelta(days=8)), tick(T0) + HOUR]  # never before the event
    assert [(r.check, r.event, r.known) for r in parsed.rejected] == [
        ("time", tick(T0) + 2 * HOUR, None)
    ]


def test_a_known_time_is_asked_only_of_rows_with_a_label() -> None:
    of = together(label={"known_column": "seen"})
    text = "id,t,x,c,y,seen\na,2024-01-01,1,u,1,2024-01-03\nb,2024-01-01,1,u,,\n"
    parsed = parse(text, "a.csv", of)
    assert parsed.rejected == ()
    assert parsed.labels is not None
    assert parsed.labels[c.KNOWN].to_pylist() == [tick(T0 + timedelta(days=2))]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(max_size=8),
            st.one_of(st.none(), st.floats(), st.integers(-(2**70), 2**70), st.text(max_size=5)),
            st.one_of(st.none(), st.sampled_from(["0", "1", "maybe", ""])),
        ),
        max_size=12,
    )
)
def test_no_row_is_lost_and_none_is_invented(cells: list[tuple[str, Any, str | None]]) -> None:
    lines = [{"id": k, "t": "2024-01-01", "x": x, "c": "u", "y": y} for k, x, y in cells]
    lines.append({"id": "good", "t": "2024-01-01", "x": 1, "c": "u", "y": "1"})
    parsed = parse(json_lines(*lines), "a.jsonl", together())
    rejected = [r.row for r in parsed.rejected if r.kind == "row"]
    assert sorted([*column(parsed, c.ROW), *rejected]) == list(range(len(lines)))
    assert parsed.labels is not None
    assert set(parsed.labels[c.ROW].to_pylist()) <= set(column(parsed, c.ROW))
