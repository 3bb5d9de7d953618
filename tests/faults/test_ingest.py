"""Faults of FAULTS.md that ingest has to withstand, each test named after its number."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import zipfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ratchet.adapters.landing import DirectoryZone
from ratchet.contracts import columns as c
from ratchet.contracts.bundle import sha256
from ratchet.contracts.lineage import digest_of
from ratchet.errors import ObjectChanged, ObjectError, TooLarge, Unreadable
from ratchet.ingest import dedupe, escape_cell, new_objects, seen_content
from ratchet.ingest.entries import object_line, quarantine_lines, rows_from_payload
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

SMALL = {"max_decoded_mib": 16}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_fault_01_truncated_parquet(share: float) -> None:
    data = parquet(features(500))
    with pytest.raises(Unreadable, match=r"truncated|0 bytes"):
        parse(data[: int(len(data) * share)])


def test_fault_01_truncated_text_loses_only_the_broken_line() -> None:
    text = "id,t,x,c\n" + "".join(f"k{i},2024-01-01T00:00:00Z,{i},a\n" for i in range(50))
    parsed = parse(text[:-9], "features/a.csv")
    assert parsed.rows is not None and parsed.rows.num_rows + len(parsed.rejected) == 50
    assert parsed.notes["no_final_newline"] is True


def test_fault_02_bit_flip_in_a_page_is_rejected_by_its_checksum() -> None:
    data = parquet(features(2000), compression="none", use_dictionary=False)
    good = parse(data).rows
    needle = struct.pack("<d", 1234.0)
    at = data.index(needle)
    flipped = bytearray(data)
    flipped[at + 7] ^= 1
    with pytest.raises(Unreadable, match=r"(?i)crc|checksum"):
        parse(bytes(flipped))
    assert good is not None and good.num_rows == 2000


def test_fault_02_random_bit_flips_never_pass_as_other_rows_nor_crash() -> None:
    data = parquet(features(300))
    good = parse(data).rows
    rng = random.Random(2)  # noqa: S311
    for _ in range(400):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            parsed = parse(bytes(flipped))
        except ObjectError:
            continue
        # A flip in metadata that nothing depends on: the payload is what it was.
        assert parsed.rows is not None and good is not None
        assert parsed.rows.drop_columns([c.OBJECT]).equals(good.drop_columns([c.OBJECT]))


def test_fault_02_pages_without_checksum_are_noted() -> None:
    assert parse(features()).notes == {}
    data = parquet(features(), write_page_checksum=False)
    assert parse(data).notes == {"no_page_checksums": True}


def one_word(word: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, dtype=np.int32)), [word])


def test_fault_03_parquet_bomb_of_repeated_strings_is_refused_before_it_is_written_out() -> None:
    n = 40_000  # 360 MB once written out, a few kilobytes in the file
    data = parquet(features(n, c=one_word("a" * 9_000, n)))
    assert len(data) < 2**20
    usual = pa.default_memory_pool()
    watched = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(watched)
    try:
        with pytest.raises(TooLarge, match=r"allowed are 16 MiB.*max_decoded_mib"):
            parse(data, of=definition(source=SMALL))
    finally:
        pa.set_memory_pool(usual)
    assert watched.max_memory() < 16 * 2**20


def test_fault_03_parquet_bomb_of_rows_is_refused_by_rows_times_width() -> None:
    n = 3_000_000
    bomb = pa.table({name: pa.repeat(pa.scalar(1, pa.int8()), n) for name in ("id", "t", "x", "c")})
    data = parquet(bomb)
    assert len(data) < 2**20
    with pytest.raises(TooLarge, match="allowed are 16 MiB"):
        parse(data, of=definition(source=SMALL))


def test_fault_03_parquet_bomb_in_one_compressed_page_is_seen_in_its_page_header() -> None:
    words = pa.array(["b" * 30_000_000])
    data = parquet(features(1, c=words), use_dictionary=False, compression="zstd")
    assert len(data) < 2**20
    with pytest.raises(TooLarge, match="allowed are 16 MiB"):
        parse(data, of=definition(source=SMALL))


def test_fault_03_parquet_bomb_of_shared_prefixes_is_counted_at_its_worst() -> None:
    n = 4_000
    words = pa.array(["p" * 10_000 + str(i) for i in range(n)])
    encodings = {"c": "DELTA_BYTE_ARRAY"}
    data = parquet(features(n, c=words), use_dictionary=False, column_encoding=encodings)
    with pytest.raises(TooLarge, match="allowed are 16 MiB"):
        parse(data, of=definition(source=SMALL))
    short = parquet(features(20), use_dictionary=False, column_encoding=encodings)
    read = parse(short).rows
    assert read is not None and read["c"].to_pylist() == features(20)["c"].to_pylist()


def test_fault_03_a_footer_that_lies_about_sizes_does_not_help_the_bomb() -> None:
    n = 40_000
    data = parquet(features(n, c=one_word("a" * 9_000, n)))
    size = pa.parquet.ParquetFile(io.BytesIO(data)).metadata.row_group(0).total_byte_size
    lying = data.replace(_varint(2 * size), _varint(2 * 100, len(_varint(2 * size))))
    assert lying != data
    with pytest.raises((TooLarge, Unreadable)):
        parse(lying, of=definition(source=SMALL))


def _varint(value: int, length: int = 0) -> bytes:
    out = bytearray()
    while value > 127 or len(out) < length - 1:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _zip(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_fault_04_archive_bombs_stop_at_the_byte_cap() -> None:
    zeros = b"id,t,x,c\n" + b"0" * (20 * 2**20)
    of = definition(source=SMALL)
    for data, key in ((gzip.compress(zeros), "a.csv.gz"), (_zip(**{"a.csv": zeros}), "a.zip")):
        assert len(data) < 2**20
        with pytest.raises(TooLarge, match="more than 16 MiB"):
            parse(data, f"features/{key}", of)


@pytest.mark.parametrize(
    "name", ["../x.csv", "/etc/x.csv", "a/../../x.csv", "..\\x.csv", "C:x.csv"]
)
def test_fault_04_a_member_outside_the_archive_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(Unreadable, match="outside itself"):
        parse(_zip(**{name: b"id,t,x,c\n"}), "features/a.zip")
    assert [p.name for p in tmp_path.rglob("*")] == ["inner"]


def test_fault_05_an_empty_batch_is_no_rows_and_an_empty_file_is_no_batch() -> None:
    for data, key in ((features(0), "a.parquet"), ("id,t,x,c\n", "a.csv")):
        parsed = parse(data, f"features/{key}")
        assert parsed.rows is not None
        assert parsed.rows.num_rows == 0
        assert parsed.rows.schema == c.rows_schema({"x": "number", "c": "category"})
        assert parsed.rejected == ()
    with pytest.raises(Unreadable, match="0 bytes"):
        parse(b"", "features/a.csv")


def test_fault_06_any_order_of_arrival_gives_the_same_rows() -> None:
    objects = {f"features/{i}.parquet": features(30, id=[f"{i}-{k}" for k in range(30)],
               t=pa.array([T0 + timedelta(days=i, hours=(k * 7) % 30) for k in range(30)]))
               for i in range(5)}  # fmt: skip
    digests = set()
    for order in (
        sorted(objects),
        sorted(objects, reverse=True),
        list(objects)[2:] + list(objects)[:2],
    ):
        tables = [parse(objects[key], key).rows for key in order]
        table = pa.concat_tables([t for t in tables if t is not None])
        table = table.sort_by([(c.EVENT, "ascending"), (c.KEY, "ascending")])
        digests.add(digest_of(table.to_pylist()))
    assert len(digests) == 1


def test_fault_06_rows_inside_an_object_may_stand_in_any_order() -> None:
    table = features(50)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(50)))
    straight, mixed = parse(table).rows, parse(shuffled).rows
    assert straight is not None and mixed is not None
    drop = [c.ROW, c.OBJECT]
    assert straight.drop_columns(drop).equals(mixed.drop_columns(drop))


def test_fault_07_duplicate_delivery(tmp_path: Path) -> None:
    zone = DirectoryZone(tmp_path, "in")
    data = parquet(features())
    (tmp_path / "a.parquet").write_bytes(data)
    first = zone.list()[0][0]
    line = object_line(
        first, source="in", sha256=sha256(data), role="features", status="landed", rows=4,
        reason="", window=0, at=T0,
    )  # fmt: skip
    assert new_objects(zone.list()[0], line) == []
    # Sent again under its name (new time), and a renamed copy: looked at, known by content.
    os.utime(tmp_path / "a.parquet", (1, 1))
    (tmp_path / "b.parquet").write_bytes(data)
    fresh = new_objects(zone.list()[0], line)
    assert [ref.key for ref in fresh] == ["a.parquet", "b.parquet"]
    assert {seen_content(line)["features", sha256(zone.read(r, 10**6))] for r in fresh} == {
        "a.parquet"
    }


def test_fault_07_rows_sent_again_in_another_object_change_no_count() -> None:
    first, again = parse(features(4)).rows, parse(features(6), "features/b.parquet").rows
    assert first is not None and again is not None
    kept, rejected, dropped = dedupe(again, first)
    assert (kept[c.KEY].to_pylist(), rejected, dropped) == (["k4", "k5"], (), 4)


def test_fault_08_events_in_the_future_are_rejected() -> None:
    arrived = T0 + timedelta(hours=2)
    times = [
        T0,
        arrived + timedelta(minutes=59),
        arrived + timedelta(minutes=61),
        T0.replace(year=9000),
    ]
    parsed = parse(features(4, t=pa.array(times, pa.timestamp("us", "UTC"))), arrived=arrived)
    assert parsed.rows is not None
    assert parsed.rows[c.KEY].to_pylist() == ["k0", "k1"]
    assert checks(parsed) == ["future_event"] * 2
    assert max(parsed.rows[c.KNOWN].to_pylist()) <= tick(arrived) + HOUR
    assert parsed.rejected[0].payload["id"] == "k2"
    assert "1 hour after the object's arrival (2024-01-01T02:00:00Z)" in parsed.rejected[0].reason


def test_fault_08_an_integer_clock_is_bounded_too() -> None:
    text = "id,t,x,c,y\na,5,1,a,0\nb,99999999,1,a,1\nc,10000100,1,a,1\nd,10000200,1,a,0\n"
    parsed = parse(text, "a.csv", counted())
    assert parsed.rows is not None
    assert parsed.rows[c.KEY].to_pylist() == ["a"]
    assert checks(parsed) == ["far_future"] * 3


def test_fault_09_naive_times_need_a_declared_zone() -> None:
    naive = features(1, t=pa.array([T0.replace(tzinfo=None)]))
    text = "id,t,x,c\na,2024-01-01 05:00:00,1,a\n"
    for data, key in ((naive, "a.parquet"), (text, "a.csv")):
        with pytest.raises(Unreadable, match=r"column 't'.*without a zone.*time\.zone = "):
            parse(data, f"features/{key}")
    zoned = definition(time={"zone": "America/New_York"})
    row = parse(text, "features/a.csv", zoned).rows
    assert row is not None and row[c.EVENT].to_pylist() == [tick(T0 + timedelta(hours=10))]


def test_fault_09_dst_gap_is_rejected_and_overlap_is_the_first_of_the_two() -> None:
    of = definition(time={"zone": "America/New_York", "origin": "2013-01-01"})
    times = ["2013-03-10 02:30:00", "2013-11-03 01:30:00", "2013-11-03T01:30:00-05:00"]
    text = "id,t,x,c\n" + "".join(f"k{i},{t},1,a\n" for i, t in enumerate(times))
    parsed = parse(text, "features/a.csv", of)
    assert checks(parsed) == ["time_gap"]
    assert "America/New_York skipped" in parsed.rejected[0].reason
    assert parsed.rows is not None
    first, second = parsed.rows[c.EVENT].to_pylist()
    assert second - first == HOUR  # 01:30 EDT, then 01:30 EST as its offset says


def test_fault_10_added_dropped_renamed_retyped_columns_are_named() -> None:
    table = features()
    with pytest.raises(Unreadable, match=r"undeclared columns: 'z'; declare .*source\.ignore"):
        parse(table.append_column("z", pa.array([1, 2, 3, 4])))
    with pytest.raises(Unreadable, match=r"declared columns missing: 'x'; send them"):
        parse(table.drop_columns(["x"]))
    with pytest.raises(
        Unreadable, match=r"missing: 'c'; undeclared columns found: 'cc' \(renamed: 'c' -> 'cc'\?\)"
    ):
        parse(table.rename_columns({"c": "cc"}))
    with pytest.raises(Unreadable, match=r"column 'x': holds text, expected numbers"):
        parse(features(x=["1", "2", "3", "4"]))
    with pytest.raises(Unreadable, match=r"column 'c': holds fractions"):
        parse(features(c=[0.5, 1.0, 2.0, 3.0]))


def test_fault_10_columns_that_the_definition_knows_or_ignores_may_come_along() -> None:
    extra = features().append_column("y", pa.array([1, 0, 1, 0])).append_column("z", pa.nulls(4))
    for ignore in (["z"], ["*"]):
        parsed = parse(extra, of=definition(source={"ignore": ignore}))
        assert parsed.rows is not None
        assert parsed.rows.column_names == [*c.PROVENANCE, "x", "c"]  # the label does not leak in


def test_fault_11_absence_is_never_a_negative() -> None:
    text = "id,t,x,c,y\na,2024-01-01,1,a,1\nb,2024-01-01,1,a,\nc,2024-01-01,1,a,0\n"
    parsed = parse(text, "a.csv", together())
    assert parsed.rows is not None and parsed.labels is not None
    assert parsed.rows[c.KEY].to_pylist() == ["a", "b", "c"]
    found = zip(parsed.labels[c.KEY].to_pylist(), parsed.labels[c.LABEL].to_pylist(), strict=True)
    assert dict(found) == {"a": 1.0, "c": 0.0}
    assert parsed.notes["unlabelled"] == 1
    assert parsed.rejected == ()


def test_fault_11_labels_are_known_when_they_could_be() -> None:
    late = parse(labels(1), "labels/a.parquet", watermark=tick(T0) + 5 * WEEK).labels
    on_time = parse(labels(1), "labels/a.parquet").labels
    assert late is not None and on_time is not None
    assert on_time[c.KNOWN].to_pylist() == [tick(T0) + WEEK]
    assert late[c.KNOWN].to_pylist() == [tick(T0) + 5 * WEEK]
    assert late[c.WINDOW].to_pylist() == [5]


def test_fault_12_infinite_and_absurd_numbers_are_rejected() -> None:
    parsed = parse(features(5, x=[1.0, float("inf"), 1e300, float("nan"), -float("inf")]))
    assert parsed.rows is not None
    assert parsed.rows["x"].to_pylist() == [1.0, None]  # NaN is a missing value
    assert [(r.check, r.key) for r in parsed.rejected] == [
        ("not_finite", "k1"), ("not_finite", "k2"), ("not_finite", "k4"),
    ]  # fmt: skip
    parsed = parse("id,t,x,c\na,2024-01-01,1e400,a\nb,2024-01-01,-inf,a\n", "features/a.csv")
    assert checks(parsed) == ["not_finite"] * 2


def test_fault_12_nan_and_infinite_labels_are_rejected() -> None:
    of = definition(label={"objective": "regression", "classes": []})
    values = [1.5, float("nan"), float("inf"), 1e300]
    parsed = parse(labels(4, y=values), "labels/a.parquet", of)
    assert parsed.labels is not None
    assert parsed.labels[c.LABEL].to_pylist() == [1.5]
    assert checks(parsed) == ["null_label", "not_finite", "not_finite"]
    parsed = parse(labels(3, y=[1.0, float("nan"), 0.5]), "labels/a.parquet")
    assert checks(parsed) == ["null_label", "label_class"]


def test_fault_12_an_all_null_label_column_gives_no_label() -> None:
    for nulls in (pa.nulls(4), pa.array([float("nan")] * 4), pa.nulls(4, pa.string())):
        parsed = parse(labels(4, y=nulls), "labels/a.parquet")
        assert parsed.labels is not None
        assert parsed.labels.num_rows == 0
        assert checks(parsed) == ["null_label"] * 4


def test_fault_17_integers_above_2_24_are_counted() -> None:
    parsed = parse(features(4, x=[2**24, 2**24 + 1, -(2**24) - 1, 2**53]))
    assert parsed.rows is not None and parsed.rows.num_rows == 4
    assert parsed.notes["above_2_24"] == {"x": 3}


def test_fault_18_hostile_text_is_a_clear_refusal_and_stays_whole_in_quarantine() -> None:
    hostile = [
        "a\0b",
        "abc\u202edef",
        "z" * 10_000_000,
        "\x1b[31mred",
        "fine \u05e9\u05dc\u05d5\u05dd",
    ]
    table = features(5, c=hostile)
    text = "id,t,x,c\n" + "".join(f"k{i},2024-01-01,1,{v}\n" for i, v in enumerate(hostile))
    for data, key in ((table, "a.parquet"), (text, "a.csv")):
        parsed = parse(data, f"features/{key}")
        assert parsed.rows is not None
        assert parsed.rows["c"].to_pylist() == [hostile[4]]
        assert checks(parsed) == ["unsafe_text"] * 4
        assert [r.payload["c"] for r in parsed.rejected] == hostile[:4]
        assert all(r.reason.isascii() and len(r.reason) < 300 for r in parsed.rejected)
        lines = quarantine_lines(parsed.rejected, window=0, window_label="2024-01-01", at=T0)
        restored = rows_from_payload(lines, c.rows_schema({"x": "number", "c": "category"}))
        assert restored["c"].to_pylist() == hostile[:4]


def test_fault_18_hostile_keys_and_cells_over_the_block_are_refused() -> None:
    parsed = parse(features(3, id=["ok", "a\0b", "\u2066x"]))
    assert checks(parsed) == ["unsafe_text"] * 2
    huge = "id,t,x,c\na,2024-01-01,1," + "z" * (70 * 2**20) + "\n"
    with pytest.raises(Unreadable, match="a row is longer than 32 MiB"):
        parse(huge, "features/a.csv")


def test_fault_19_cells_that_would_run_as_formulas_are_escaped() -> None:
    for cell in ("=cmd()", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"):
        assert escape_cell(cell) == "'" + cell
    assert [escape_cell(cell) for cell in ("", "a=b", "1")] == ["", "a=b", "1"]


def test_fault_36_an_object_overwritten_or_deleted_after_it_was_listed(tmp_path: Path) -> None:
    zone = DirectoryZone(tmp_path)
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    a, b = zone.list()[0]
    (tmp_path / "a").write_bytes(b"two")
    (tmp_path / "b").unlink()
    for ref in (a, b):
        with pytest.raises(ObjectChanged, match=f"{ref.key}: .*the next cycle looks again"):
            zone.read(ref, 100)


def test_fault_36_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = DirectoryZone(tmp_path)
    (tmp_path / "a").write_bytes(b"x" * 100)
    ref = zone.list()[0][0]
    real, calls = os.fstat, []

    def grows(descriptor: int) -> os.stat_result:
        facts = real(descriptor)
        calls.append(facts)
        if len(calls) == 1:
            with (tmp_path / "a").open("r+b") as file:
                file.write(b"y")
            os.utime(tmp_path / "a", (5, 5))
        return facts

    monkeypatch.setattr(os, "fstat", grows)
    with pytest.raises(ObjectChanged, match="changed while it was read"):
        zone.read(ref, 1000)


def test_fault_37_key_aliases_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "q").write_bytes(b"1")
    (tmp_path / "p\\q").write_bytes(b"2")
    (tmp_path / "fine").write_bytes(b"3")
    objects, unsafe = DirectoryZone(tmp_path).list()
    assert [o.key for o in objects] == ["fine"]
    assert len(unsafe) == 2


def test_fault_37_names_that_are_not_utf8_are_reported(tmp_path: Path) -> None:
    (tmp_path / "fine").write_bytes(b"3")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")).write_bytes(b"1")
    objects, unsafe = DirectoryZone(tmp_path).list()
    assert [o.key for o in objects] == ["fine"]
    assert unsafe == [("caf\\\\xe9.csv", "the name is not UTF-8")]


# Besides the numbered ones


def test_events_long_before_the_window_belong_to_the_window_in_which_they_became_known() -> None:
    old = parse(
        features(2, t=pa.array([T0 - timedelta(days=4000), T0])), watermark=tick(T0) + 3 * WEEK
    )
    assert old.rows is not None
    assert old.rows[c.WINDOW].to_pylist() == [3, 3]
    assert old.rows[c.EVENT].to_pylist()[0] == tick(T0 - timedelta(days=4000))


def test_equal_and_conflicting_duplicate_keys() -> None:
    table = features(6, id=["a", "a", "b", "b", "c", "d"], x=[1.0, 1.0, 2.0, 3.0, None, 5.0],
                     c=["u"] * 6, t=pa.array([T0] * 6))  # fmt: skip
    batch = parse(table).rows
    assert batch is not None
    earlier = parse(
        features(2, id=["c", "d"], x=[None, 6.0], c=["u", "u"], t=pa.array([T0] * 2))
    ).rows
    assert earlier is not None
    kept, rejected, dropped = dedupe(batch, earlier)
    assert kept[c.KEY].to_pylist() == ["a"]
    assert dropped == 2  # one copy of a, and c again
    assert [(r.key, r.check, r.payload["x"]) for r in rejected] == [
        ("b", "conflicting_key", 2.0), ("b", "conflicting_key", 3.0), ("d", "conflicting_key", 5.0),
    ]  # fmt: skip
    assert "another row of this batch" in rejected[0].reason
    assert "an earlier row" in rejected[2].reason
