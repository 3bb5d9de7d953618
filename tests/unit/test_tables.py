"""Corners of the tables: races that are lost on purpose, stores that fail, files that are odd."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.adapters.tables import DeltaTables, delta, open_tables
from ratchet.adapters.tables.files import LocalFiles, Remembered, S3Files
from ratchet.adapters.tables.log import Log, Snapshot, sum_of
from ratchet.adapters.tables.opening import storage_options
from ratchet.adapters.tables.parts import PartRef, by_window, check, decode, encode
from ratchet.adapters.tables.versions import versions_of
from ratchet.contracts.seams import Append
from ratchet.errors import Conflict, Damaged, DefinitionError, StorageError
from ratchet.settings import Settings
from tests.s3_server import S3Server

SCHEMA = pa.schema([("_key", pa.string()), ("_window", pa.int32()), ("x", pa.float64())])


def rows(window: int, keys: list[str]) -> pa.Table:
    table = {"_key": keys, "_window": [window] * len(keys), "x": [1.0] * len(keys)}
    return pa.table(table, SCHEMA)


@pytest.fixture
def tables(tmp_path: Path) -> DeltaTables:
    return DeltaTables(str(tmp_path))


class Counting(LocalFiles):
    """Counts the reads that reach the store."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.reads: list[str] = []

    def get(self, path: str) -> bytes:
        self.reads.append(path)
        return super().get(path)


class TestVersions:
    def counting(self, root: Path) -> tuple[DeltaTables, list[str]]:
        files = Counting(str(root))
        return DeltaTables(str(root), files=files), files.reads

    def test_without_empty_commits_nothing_is_read(
        self, tables: DeltaTables, tmp_path: Path
    ) -> None:
        for i in range(20):
            tables.append(Append("landed", rows(i, [str(i)]), str(i)))
        again, asked = self.counting(tmp_path)
        found = again.read("landed", ["_window", "_added"])
        assert found["_added"].to_pylist() == found["_window"].to_pylist() == list(range(20))
        assert asked == []

    def test_an_empty_commit_costs_a_few_entries_of_the_log(
        self, tables: DeltaTables, tmp_path: Path
    ) -> None:
        for i in range(40):
            part = rows(i, [str(i)]) if i != 17 else rows(0, [])
            tables.append(Append("landed", part, str(i)))
        again, asked = self.counting(tmp_path)
        found = again.read("landed", ["_window", "_added"])
        assert found["_added"].to_pylist() == found["_window"].to_pylist()
        assert 1 <= len(asked) <= 6
        assert all("_delta_log" in path for path in asked)

    @given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.data())
    def test_any_mixture_of_commits(self, files: list[int], data: st.DataObject) -> None:
        """``files``: how many each version brings."""
        parts, totals = [], []
        for version, count in enumerate(files):
            parts += [PartRef(i, 10 * version, f"p{version}-{i}", 1, 1) for i in range(count)]
            totals.append(sum_of(parts))
        snapshot = Snapshot(len(files) - 1, SCHEMA, tuple(sorted(parts)), None)
        wanted = data.draw(st.sets(st.sampled_from(parts))) if parts else set()
        stamps = {part.stamp for part in wanted}
        asked: list[int] = []
        found = versions_of(snapshot, stamps, lambda v: asked.append(v) or totals[v])
        assert found == {stamp: stamp // 10 for stamp in stamps}
        assert len(asked) == len(set(asked)) < len(files)

    @pytest.mark.parametrize("newest", [4, 0])
    def test_a_log_that_contradicts_itself_is_damage(self, newest: int) -> None:
        parts = (PartRef(0, 1, "a", 1, 1), PartRef(0, 2, "b", 1, 1))
        with pytest.raises(Damaged, match="recorded other files"):
            versions_of(Snapshot(newest, SCHEMA, parts, None), [2], lambda _: 1)

    def test_a_commit_that_is_gone_is_named(self, tables: DeltaTables, tmp_path: Path) -> None:
        for i in range(3):
            tables.append(Append("landed", rows(0, [str(i)] if i != 1 else []), str(i)))
        (tmp_path / "landed/_delta_log" / f"{1:020}.json").unlink()
        log = Log(str(tmp_path / "landed"), "landed", LocalFiles(str(tmp_path)), {})
        with pytest.raises(Damaged, match="missing"):
            log.total_at(1)


class TestRaces:
    def outrun(self, monkeypatch: pytest.MonkeyPatch, method: str, appends: list[Append]) -> None:
        """Before each commit of this process, another writer gets one of ``appends`` in."""
        original = getattr(Log, method)
        rival = threading.local()

        def late(log: Log, *args: Any) -> None:
            if appends and not getattr(rival, "busy", False):
                rival.busy = True
                DeltaTables(str(Path(log._uri).parent)).append(appends.pop(0))
                rival.busy = False
            original(log, *args)

        monkeypatch.setattr(Log, method, late)

    def test_a_rival_creates_the_table_first(
        self, tables: DeltaTables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With other types and columns: the rows are fitted to its table, then committed."""
        self.outrun(monkeypatch, "create", [Append("landed", rows(0, ["rival"]), "rival")])
        ours = pa.table({"y": ["new"], "_window": [0], "_key": ["ours"], "x": pa.array([2])})
        assert tables.append(Append("landed", ours, "ours")) == 2  # the column took a version
        found = tables.read("landed").to_pydict()
        assert found["_key"] == ["rival", "ours"]
        assert found["x"] == [1.0, 2.0] and found["y"] == [None, "new"]

    def test_a_rival_creates_it_with_types_that_do_not_fit(
        self, tables: DeltaTables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.outrun(monkeypatch, "create", [Append("landed", rows(0, ["rival"]), "rival")])
        ours = pa.table({"_key": ["ours"], "_window": [0], "x": ["text"]})
        with pytest.raises(StorageError, match="holds string, expected double"):
            tables.append(Append("landed", ours, "ours"))
        assert tables.read("landed")["_key"].to_pylist() == ["rival"]

    def test_a_rival_adds_the_same_column(
        self, tables: DeltaTables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tables.append(Append("landed", rows(0, ["first"]), "first"))
        wider = rows(0, ["k"]).append_column("y", pa.array(["v"]))
        self.outrun(monkeypatch, "widen", [Append("landed", wider, "rival")])
        assert tables.append(Append("landed", wider, "ours")) == 3
        assert tables.read("landed")["y"].to_pylist() == [None, "v", "v"]

    def test_rivals_that_are_always_faster(
        self, tables: DeltaTables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delta, "RACES", 4)
        tables.append(Append("landed", rows(0, ["first"]), "first"))
        rivals = [Append("landed", rows(0, [str(i)]), f"rival {i}") for i in range(4)]
        self.outrun(monkeypatch, "commit", rivals)
        with pytest.raises(Conflict, match="faster 4 times; nothing was written"):
            tables.append(Append("landed", rows(0, ["ours"]), "ours"))
        assert not tables.committed("landed", "ours")
        assert tables.read("landed")["_key"].to_pylist() == ["first", "0", "1", "2", "3"]
        tables.append(Append("landed", rows(0, ["ours"]), "ours"))
        assert tables.read("landed")["_key"].to_pylist()[-1] == "ours"

    def test_a_rival_with_the_same_transaction(
        self, tables: DeltaTables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tables.append(Append("landed", rows(0, ["first"]), "first"))
        self.outrun(monkeypatch, "commit", [Append("landed", rows(0, ["rival"]), "same")])
        assert tables.append(Append("landed", rows(0, ["ours"]), "same")) == 1
        assert tables.read("landed")["_key"].to_pylist() == ["first", "rival"]

    def test_a_clock_that_goes_back_does_not_change_the_order(
        self, tables: DeltaTables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number, now in enumerate([2e9, 1e9, 1.5e9, 1e9]):
            monkeypatch.setattr(delta.time, "time", lambda now=now: now)
            tables.append(Append("landed", rows(0, [str(number)]), f"t{number}"))
        assert tables.read("landed")["_key"].to_pylist() == ["0", "1", "2", "3"]


class TestFailures:
    def test_a_store_that_takes_no_commit(
        self, tables: DeltaTables, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []

        def fail(*args: Any) -> None:
            calls.append(args)
            raise OSError("Generic error: something new")

        monkeypatch.setattr(Log, "create", fail)
        with pytest.raises(StorageError, match=r"something new. The append is safe to repeat"):
            tables.append(Append("landed", rows(0, ["a"]), "one"))
        assert len(calls) == delta.FAILURES
        assert tables.version("landed") == -1

    def test_a_file_that_cannot_be_read(self, tables: DeltaTables, tmp_path: Path) -> None:
        tables.append(Append("landed", rows(0, ["a"]), "one"))
        file = next(tmp_path.rglob("part-*.parquet"))
        file.unlink()
        file.mkdir()
        with pytest.raises(Damaged, match="is missing"):
            tables.read("landed")
        file.rmdir()
        file.symlink_to(file)
        with pytest.raises(StorageError, match="cannot be read") as caught:
            tables.read("landed")
        assert not isinstance(caught.value, Damaged)

    def test_a_put_that_fails_leaves_nothing_behind(self, tmp_path: Path) -> None:
        (tmp_path / "taken").mkdir()
        with pytest.raises(OSError, match="directory"):
            LocalFiles(str(tmp_path)).put("taken", b"x")
        assert [path.name for path in tmp_path.iterdir()] == ["taken"]

    def test_a_denied_read_is_not_a_missing_file(self, s3: S3Server) -> None:
        bucket = s3.make_bucket()
        files = S3Files(s3.client(), bucket, "p")
        with pytest.raises(FileNotFoundError, match=f"s3://{bucket}/p/none"):
            files.get("none")
        stranger = S3Server(s3.directory)  # the same endpoint, other keys
        stranger.endpoint = s3.endpoint
        with pytest.raises(Exception, match=r"InvalidAccessKeyId|AccessDenied"):
            S3Files(stranger.client(), bucket, "p").get("none")


class TestParts:
    def test_bytes_and_name_follow_from_the_rows(self) -> None:
        one, two = encode(rows(3, ["a"]), 3, "txn"), encode(rows(3, ["a"]), 3, "txn")
        assert one == two
        assert one.path.startswith("_window=3/part-")
        assert hashlib.sha256(one.data).hexdigest() in one.path
        assert encode(rows(3, ["a"]), 3, "other").path != one.path

    def test_what_is_not_parquet_is_damaged(self) -> None:
        data = b"not Parquet"
        path = f"_window=0/part-x-{hashlib.sha256(data).hexdigest()}.parquet"
        ref = PartRef(0, 1, path, len(data), 3)
        check(ref, data, path)
        with pytest.raises(Damaged, match="not the Parquet file"):
            decode(ref, data, SCHEMA)

    def test_rows_that_were_not_recorded_are_damaged(self) -> None:
        part = encode(rows(0, ["a", "b"]), 0, "txn")
        with pytest.raises(Damaged, match="not the Parquet file"):
            decode(PartRef(0, 1, part.path, len(part.data), 3), part.data, SCHEMA)

    @given(st.lists(st.integers(-3, 3), min_size=1))
    def test_splitting_keeps_every_row_in_order(self, windows: list[int]) -> None:
        table = pa.table({"_window": windows, "n": range(len(windows))})
        parts = list(by_window(table))
        assert [window for window, _ in parts] == sorted(set(windows))
        for window, part in parts:
            assert part["n"].to_pylist() == [n for n, w in enumerate(windows) if w == window]

    @pytest.mark.parametrize("change", ["window", "stamp", "path", "size", "rows"])
    def test_the_mark_stands_for_the_entry(self, change: str) -> None:
        plain = {"window": 1, "stamp": 2, "path": "_window=1/p", "size": 3, "rows": 4}
        other = plain | {change: "_window=2/p" if change in ("path", "window") else 9}
        if change == "window":  # it is part of the path
            other = plain | {"window": 2, "path": "_window=2/p"}
        assert PartRef(**plain).mark != PartRef(**other).mark
        assert 0 <= PartRef(**plain).mark < 2**62

    def test_the_mark_stands_for_the_keys_too_where_they_are_known(self) -> None:
        old = PartRef(1, 2, "_window=1/p", 3, 4)
        assert old.mark == 1304190603014017559  # as tables of earlier releases recorded it
        narrow, wide = replace(old, low="a", high="a"), replace(old, low="a", high="b")
        assert len({old.mark, narrow.mark, wide.mark}) == 3
        assert old == narrow  # the order of files is that of their commits

    def test_a_file_without_a_range_of_keys_may_hold_any(self) -> None:
        ref = PartRef(1, 2, "_window=1/p", 3, 4)
        assert ref.may_hold(["x"]) and ref.may_hold([])
        known = replace(ref, low="b", high="d")
        assert [known.may_hold([k]) for k in "abcde"] == [False, True, True, True, False]
        assert known.may_hold(["a", "c", "e"]) and not known.may_hold(["a", "e"])


class TestOpening:
    def test_a_directory_reached_by_a_strange_path_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Delta would decode ``%20`` in it and write elsewhere."""
        strange = tmp_path / "a%20b"
        strange.mkdir()
        monkeypatch.chdir(strange)
        with pytest.raises(DefinitionError, match="a%20b"):
            open_tables("tables", Settings())

    @pytest.mark.parametrize("root", [".", "./"])
    def test_the_current_directory_may_be_the_root(
        self, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        open_tables(root, Settings()).append(Append("landed", rows(0, ["a"]), "one"))
        assert (tmp_path / "landed" / "_delta_log").is_dir()

    def test_a_store_is_probed_once_a_process(self, s3: S3Server) -> None:
        root = f"s3://{s3.make_bucket()}/once"
        open_tables(root, s3.settings())
        stopped = s3.settings(s3_secret_key="wrong")
        open_tables(root, stopped)  # no request is made

    def test_options_leave_out_what_is_not_set(self) -> None:
        options = storage_options(Settings())
        assert "AWS_SECRET_ACCESS_KEY" not in options and "AWS_ALLOW_HTTP" not in options
        assert options["conditional_put"] == "etag"
        full = storage_options(
            Settings(s3_endpoint="http://localhost:1", s3_access_key="a", s3_secret_key="b" * 8)
        )
        assert full["AWS_SECRET_ACCESS_KEY"] == "b" * 8 and full["AWS_ALLOW_HTTP"] == "true"
        far = storage_options(Settings(s3_endpoint="https://s3.example.test"))
        assert "AWS_ALLOW_HTTP" not in far


# ---------------------------------------------------------------- what is kept in memory


def test_what_was_read_is_not_fetched_again(tmp_path: Path) -> None:
    inner = Counting(str(tmp_path))
    files = Remembered(inner, most=4000)
    for name in "abcde":
        files.put(f"{name}.parquet", name.encode() * 1000)
    for _ in range(3):
        assert files.get("a.parquet") == b"a" * 1000
    assert inner.reads == ["a.parquet"]
    for name in "bcde":  # over the limit: the one that was read longest ago goes
        assert files.get(f"{name}.parquet") == name.encode() * 1000
    assert files.get("e.parquet") == b"e" * 1000
    assert inner.reads == [f"{name}.parquet" for name in "abcde"]
    files.get("a.parquet")
    assert inner.reads[-1] == "a.parquet"


def rows_of(window: int, count: int = 100) -> pa.Table:
    numbers = pa.array(range(count), pa.int64())
    return pa.table({"_window": pa.array([window] * count, pa.int64()), "a": numbers, "b": numbers})


def test_columns_that_were_read_are_not_decoded_again(tmp_path: Path) -> None:
    inner = Counting(str(tmp_path))
    tables = DeltaTables(str(tmp_path), files=inner, remember=2**20)
    for window in range(3):
        tables.append(Append("rows", rows_of(window), f"rows/{window}"))
    plain = DeltaTables(str(tmp_path))

    def read(*columns: str, windows: tuple[int, int] = (0, 3)) -> int:
        """How many files were fetched for it."""
        before = sum(path.endswith(".parquet") for path in inner.reads)
        found = tables.read("rows", list(columns), windows)
        assert found.equals(plain.read("rows", list(columns), windows))
        return sum(path.endswith(".parquet") for path in inner.reads) - before

    assert read("a", windows=(0, 2)) == 2
    assert read("a") == 1
    assert read("_window", "a") == 3  # a column that was not asked for yet
    assert read("b", "a") == 3
    assert read("a", "b", "_window") == 0
    tables.append(Append("rows", rows_of(1, 7), "rows/1/more"))
    assert read("a", "b") == 1


def test_what_was_read_longest_ago_is_decoded_again(tmp_path: Path) -> None:
    inner = Counting(str(tmp_path))
    tables = DeltaTables(str(tmp_path), files=inner, remember=4 * 1700)
    for window in range(6):
        tables.append(Append("rows", rows_of(window), f"rows/{window}"))
    tables.append(Append("large", rows_of(0, 500), "large/0"))
    inner.reads.clear()
    for window in (0, 1, 2, 3, 0, 4, 0, 1):  # four fit; the fifth puts out the second
        tables.read("rows", ["a", "b"], (window, window + 1))
    for _ in range(2):
        tables.read("large", ["a", "b"])
    seen = [path.split("/")[-2] for path in inner.reads if path.endswith(".parquet")]
    assert seen == [f"_window={i}" for i in (0, 1, 2, 3, 4, 1, 0, 0)]


def test_what_changes_or_is_large_is_not_kept(tmp_path: Path) -> None:
    inner = Counting(str(tmp_path))
    files = Remembered(inner, most=4000)
    files.put("a.json", b"1")
    assert files.get("a.json") == b"1"
    inner.put("a.json", b"2")  # by another process
    assert files.get("a.json") == b"2"
    files.put("b.parquet", b"old")
    assert files.get("b.parquet") == b"old"
    files.put("b.parquet", b"new")
    assert files.get("b.parquet") == b"new"
    files.put("large.parquet", b"x" * 1001)
    assert files.get("large.parquet") == files.get("large.parquet")
    assert inner.reads.count("large.parquet") == 2
    files.delete("b.parquet")
    assert not files.exists("b.parquet")
    with pytest.raises(FileNotFoundError):
        files.get("b.parquet")


def test_a_commit_of_another_is_seen_at_the_next_read(tmp_path: Path) -> None:
    first, second = DeltaTables(str(tmp_path)), DeltaTables(str(tmp_path))
    for i, tables in enumerate((first, second, first, second)):
        assert tables.append(Append("landed", rows(i, [f"k{i}"]), f"t{i}")) == i
        assert first.read("landed").num_rows == second.read("landed").num_rows == i + 1
    assert first.read("landed", version=1).num_rows == 2
    assert first.read("landed").num_rows == 4
