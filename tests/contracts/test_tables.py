"""What every implementation of Tables promises, in a directory and on a real S3 server."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.adapters.tables import DeltaTables, open_tables
from ratchet.contracts import columns as c
from ratchet.contracts.seams import Append, Tables
from ratchet.errors import NotFound, StorageError
from ratchet.settings import Settings

SCHEMA = pa.schema(
    [
        pa.field("_key", pa.string(), nullable=False),
        pa.field("_window", pa.int32(), nullable=False),
        pa.field("x", pa.float64()),
    ]
)


def rows(window: int, keys: list[str], x: float | None = 1.0) -> pa.Table:
    return pa.table(
        {"_key": keys, "_window": [window] * len(keys), "x": [x] * len(keys)}, schema=SCHEMA
    )


@pytest.fixture(params=["directory", "s3"])
def new_tables(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Tables]:
    """Opens the same tables anew each time, as another process would."""
    if request.param == "directory":
        return lambda: open_tables(str(tmp_path / "tables"), Settings())
    s3 = request.getfixturevalue("s3")
    root = f"s3://{s3.make_bucket()}/ratchet/flights"
    return lambda: open_tables(root, s3.settings())


@pytest.fixture
def tables(new_tables: Callable[[], Tables]) -> Tables:
    return new_tables()


def test_a_table_never_written_is_empty(tables: Tables) -> None:
    assert tables.version("landed") == -1
    assert tables.read("landed").num_rows == 0
    assert tables.read("landed", version=-1).num_columns == 0
    assert not tables.committed("landed", "a")
    with pytest.raises(NotFound, match="no version 0"):
        tables.read("landed", version=0)
    assert tables.windows("landed") == {}


def test_rows_by_window_are_known_from_the_log(new_tables: Callable[[], Tables]) -> None:
    tables = new_tables()
    both = pa.concat_tables([rows(3, ["a", "b"]), rows(-1, ["c"])])
    tables.append(Append("landed", both, "1"))
    tables.append(Append("landed", rows(3, ["d"]), "2"))
    tables.append(Append("landed", rows(4, []), "3"))
    assert new_tables().windows("landed") == {-1: 1, 3: 3}


def test_what_was_appended_is_read(tables: Tables, new_tables: Callable[[], Tables]) -> None:
    assert tables.append(Append("landed", rows(3, ["a", "b"]), "one")) == 0
    assert tables.append(Append("landed", rows(4, ["c"], None), "two")) == 1
    other = new_tables()
    assert other.version("landed") == 1
    assert other.committed("landed", "one") and other.committed("landed", "two")
    assert not other.committed("landed", "three")
    found = other.read("landed")
    assert found.schema == SCHEMA
    assert found == pa.concat_tables([rows(3, ["a", "b"]), rows(4, ["c"], None)])


def test_a_transaction_is_written_once(tables: Tables) -> None:
    first = tables.append(Append("landed", rows(0, ["a"]), "txn"))
    assert tables.append(Append("landed", rows(0, ["a", "b"]), "txn")) == first
    assert tables.append(Append("labels", rows(0, ["z"]), "txn")) == 0  # its own table
    assert tables.read("landed")["_key"].to_pylist() == ["a"]


def test_the_same_rows_under_two_transactions_are_both_kept(tables: Tables) -> None:
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    tables.append(Append("landed", rows(0, ["a"]), "two"))
    assert tables.read("landed")["_key"].to_pylist() == ["a", "a"]


@pytest.mark.parametrize("first", [True, False])
def test_no_rows_still_commit_the_transaction(tables: Tables, first: bool) -> None:
    if not first:
        tables.append(Append("landed", rows(0, ["a"]), "one"))
    before = tables.read("landed").num_rows
    version = tables.append(Append("landed", SCHEMA.empty_table(), "nothing"))
    assert tables.committed("landed", "nothing")
    assert tables.version("landed") == version
    assert tables.read("landed").num_rows == before
    assert tables.read("landed").schema == SCHEMA
    tables.append(Append("landed", rows(0, ["b"]), "two"))
    assert tables.read("landed").num_rows == before + 1


def test_rows_come_by_window_then_by_commit(tables: Tables) -> None:
    for txn, window, keys in [
        ("1", 7, ["g"]),
        ("2", -2, ["z", "a"]),
        ("3", 10, ["k"]),
        ("4", 7, ["b", "a"]),
        ("5", 7, ["c"]),
    ]:
        tables.append(Append("landed", rows(window, keys), txn))
    found = tables.read("landed", ["_window", "_key"]).to_pydict()
    assert found["_key"] == ["z", "a", "g", "b", "a", "c", "k"]
    assert found["_window"] == [-2, -2, 7, 7, 7, 7, 10]


def test_one_append_may_span_windows(tables: Tables) -> None:
    keys = [f"{i:03}" for i in range(60)]
    mixed = pa.table({"_key": keys, "_window": [i % 3 for i in range(60)], "x": [0.5] * 60}, SCHEMA)
    tables.append(Append("landed", mixed, "one"))
    assert tables.read("landed")["_key"].to_pylist() == keys[0::3] + keys[1::3] + keys[2::3]


def test_windows_prune(tables: Tables) -> None:
    for window in range(5):
        tables.append(Append("landed", rows(window, [str(window)]), f"w{window}"))

    def keys(first: int | None, end: int | None) -> list[str]:
        return tables.read("landed", ["_key"], windows=(first, end))["_key"].to_pylist()

    assert keys(1, 3) == ["1", "2"]
    assert keys(None, 2) == ["0", "1"]
    assert keys(3, None) == ["3", "4"]
    assert keys(3, 3) == [] and keys(9, None) == []
    assert tables.read("landed", ["x"], windows=(9, 10)).schema == pa.schema([SCHEMA.field("x")])


def test_the_version_that_added_a_row_is_told_by_the_log(
    new_tables: Callable[[], Tables],
) -> None:
    """Also around commits without rows and those that add a column, in any version."""
    tables, none = new_tables(), SCHEMA.empty_table()
    wide = rows(2, ["f"]).append_column("y", pa.array([1.0]))
    both = pa.concat_tables([rows(5, ["c"]), rows(1, ["d"])])
    parts = [none, rows(4, ["a", "b"]), both, none, none, wide, rows(0, ["g"])]
    for i, part in enumerate(parts):
        tables.append(Append("landed", part, str(i)))
    expected = {"a": 1, "b": 1, "c": 2, "d": 2, "f": 6, "g": 7}  # the column took version 5
    assert tables.version("landed") == 7
    for version in [None, *range(8)]:
        found = new_tables().read("landed", ["_added", "_key"], version=version)
        assert found.column_names == ["_added", "_key"]
        told = dict(zip(found["_key"].to_pylist(), found["_added"].to_pylist(), strict=True))
        newest = 7 if version is None else version
        assert told == {key: added for key, added in expected.items() if added <= newest}
    assert "_added" not in new_tables().read("landed").column_names
    assert new_tables().read("landed", ["_added"], (4, 6))["_added"].to_pylist() == [1, 1, 2]
    assert new_tables().read("landed", ["_added"], (9, 10)).num_rows == 0


def test_rows_of_a_transaction_alone(tables: Tables) -> None:
    for txn, window in (("a", 3), ("b", 3), ("c", 1)):
        tables.append(Append("landed", rows(window, [txn]), txn))
    assert tables.read("landed", ["_key"], txns=["c", "b"])["_key"].to_pylist() == ["c", "b"]
    assert tables.read("landed", ["_key"], (3, 4), txns=["c", "b"])["_key"].to_pylist() == ["b"]
    assert tables.read("landed", txns=["z"]).schema == SCHEMA
    assert tables.read("landed", txns=[]).num_rows == 0


def test_files_that_cannot_hold_a_key_are_not_read(tables: Tables) -> None:
    for window, keys in enumerate((["a", "c"], ["f", "g"], ["e", "é"], ["k" * 500])):
        tables.append(Append("landed", rows(window, keys), f"w{window}"))

    def found(*keys: str) -> list[str]:
        wanted = pa.chunked_array([keys], pa.string())
        return tables.read("landed", ["_key"], keys=wanted)["_key"].to_pylist()

    long = ["k" * 500]  # so long that the log does not say: read in any case
    assert found("b") == ["a", "c", *long]
    assert found("z", "d") == ["e", "é", *long]
    assert found("0", "zz", "f") == ["f", "g", "e", "é", *long]
    assert found() == long
    assert tables.read("landed", ["_key"])["_key"].to_pylist() == [*"acfgeé", *long]


def test_every_version_stays_readable(tables: Tables) -> None:
    for i in range(3):
        tables.append(Append("landed", rows(0, [str(i)]), f"t{i}"))
    for version in range(3):
        found = tables.read("landed", version=version)
        assert found["_key"].to_pylist() == [str(i) for i in range(version + 1)]
    assert tables.read("landed", version=-1).num_rows == 0
    assert tables.read("landed", version=-1).schema == SCHEMA
    with pytest.raises(NotFound, match="no version 3; it ends at version 2"):
        tables.read("landed", version=3)


def test_columns_come_as_asked(tables: Tables) -> None:
    tables.append(Append("landed", rows(2, ["a"]), "one"))
    assert tables.read("landed", ["x", "_key"]).column_names == ["x", "_key"]
    assert tables.read("landed", ["_window"]).to_pydict() == {"_window": [2]}
    with pytest.raises(StorageError, match=r"no column \['y'\]; it has \['_key', '_window', 'x'\]"):
        tables.read("landed", ["y"])


def test_null_and_nan_stay_what_they_are(tables: Tables) -> None:
    table = pa.table({"_key": ["a", "b", "c"], "_window": [0, 0, 0], "x": [None, math.nan, -0.0]})
    tables.append(Append("landed", table.cast(SCHEMA), "one"))
    found = tables.read("landed")["x"]
    assert found.null_count == 1 and found[0].as_py() is None
    assert math.isnan(found[1].as_py())
    assert math.copysign(1, found[2].as_py()) == -1


def test_the_stored_schemas_round_trip(tables: Tables) -> None:
    schemas = {
        "landed": c.rows_schema({"carrier": "category", "temp": "number"}),
        "labels": c.labels_schema(),
        "quarantine": c.quarantine_schema(),
        "objects": c.objects_schema(),
        "decisions": c.decisions_schema(),
        "incidents": c.incidents_schema(),
    }
    samples = {
        pa.string(): "ü\u202e\x00'\"\n",
        pa.int64(): 2**53 + 1,
        pa.int32(): 4,
        pa.float64(): 0.1,
        pa.timestamp("us", tz="UTC"): datetime(2013, 1, 1, 5, 0, 0, 123456, UTC),
    }
    for name, schema in schemas.items():
        row = pa.Table.from_pylist([{f.name: samples[f.type] for f in schema}], schema=schema)
        tables.append(Append(name, row, "one"))
        assert tables.read(name) == row
        assert tables.read(name).schema == schema


def test_nullable_columns_may_be_added_and_left_out(tables: Tables) -> None:
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    wider = rows(1, ["b"]).append_column("y", pa.array(["new"]))
    tables.append(Append("landed", wider, "two"))
    narrow = rows(2, ["c"]).drop_columns(["x"])
    tables.append(Append("landed", narrow, "three"))
    found = tables.read("landed").to_pydict()
    assert found["y"] == [None, "new", None]
    assert found["x"] == [1.0, 1.0, None]
    assert "y" not in tables.read("landed", version=0).column_names


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows(0, ["a"]).drop_columns(["_key"]), "'_key' is required and missing"),
        (pa.table({"_key": [None], "_window": [0]}), "1 nulls in column '_key'"),
        (pa.table({"_key": ["a"], "_window": [0], "x": ["high"]}), "holds string, expected double"),
        (pa.table({"_key": ["a"], "_window": [2**40], "x": [1.0]}), "'_window' holds int64"),
        (pa.table({"_key": ["a"], "x": [1.0]}), "without the column _window"),
        (pa.table({"_key": ["a"], "_window": [0], "y": [None]}), r"\['y'\] have no type"),
        (
            pa.Table.from_arrays(
                [pa.array(["a"]), pa.array([0]), pa.array([1])],
                schema=pa.schema(
                    [
                        ("_key", pa.string()),
                        ("_window", pa.int64()),
                        pa.field("y", pa.int64(), False),
                    ]
                ),
            ),
            r"new columns \['y'\] are required",
        ),
    ],
)
def test_rows_that_do_not_fit_change_nothing(tables: Tables, table: pa.Table, message: str) -> None:
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    with pytest.raises(StorageError, match=message):
        tables.append(Append("landed", table, "two"))
    assert tables.version("landed") == 0
    assert not tables.committed("landed", "two")


def test_kindred_types_are_converted(tables: Tables) -> None:
    tables.append(Append("landed", rows(0, ["a"]), "one"))
    kindred = pa.table(
        {
            "x": pa.array([2], pa.int64()),
            "_window": pa.array([1], pa.int64()),
            "_key": pa.array(["b"]).dictionary_encode(),
        }
    )
    tables.append(Append("landed", kindred, "two"))
    assert tables.read("landed").to_pydict() == {"_key": ["a", "b"], "_window": [0, 1], "x": [1, 2]}


@pytest.mark.parametrize("name", ["", "Landed", "../x", "a/b", "_x", "a" * 64])
def test_odd_table_names_are_refused(tables: Tables, name: str) -> None:
    with pytest.raises(StorageError, match="table name"):
        tables.version(name)


@pytest.mark.parametrize("txn", ["", "ratchet:version"])
def test_odd_transactions_are_refused(tables: Tables, txn: str) -> None:
    with pytest.raises(StorageError, match="transaction"):
        tables.append(Append("landed", rows(0, ["a"]), txn))
    assert tables.version("landed") == -1


def test_writers_of_different_transactions_all_get_through(
    new_tables: Callable[[], Tables],
) -> None:
    """Ten at once, from the creation of the table on, and one of them adds a column."""
    barrier = threading.Barrier(10)
    versions: list[int] = []

    def write(number: int) -> None:
        table = rows(number % 3, [f"{number}-{i}" for i in range(5)])
        if number == 4:
            table = table.append_column("y", pa.array(["new"] * 5))
        tables = new_tables()
        barrier.wait()
        versions.append(tables.append(Append("landed", table, f"t{number}")))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = new_tables().read("landed")
    expected = {f"{n}-{i}" for n in range(10) for i in range(5)}
    assert len(set(versions)) == 10
    assert set(found["_key"].to_pylist()) == expected and found.num_rows == 50
    assert found["y"].null_count == 45


def test_the_log_gets_checkpoints(tmp_path: Path) -> None:
    """Opening reads the newest checkpoint and fewer than ten commits, however many there were."""
    tables = DeltaTables(str(tmp_path))
    for i in range(45):
        tables.append(Append("landed", rows(i, [str(i)]), f"t{i}"))
    log = tmp_path / "landed" / "_delta_log"
    newest = max(int(path.name[:20]) for path in log.glob("*.checkpoint.parquet"))
    assert newest >= 39
    for commit in log.glob("*.json"):
        if int(commit.name[:20]) < newest:
            commit.unlink()
    assert tables.version("landed") == 44
    assert tables.committed("landed", "t3")
    assert tables.read("landed").num_rows == 45


def test_any_delta_reader_reads_them(tmp_path: Path) -> None:
    import deltalake

    tables = DeltaTables(str(tmp_path))
    tables.append(Append("landed", rows(0, ["a", "b"]), "one"))
    tables.append(Append("landed", rows(1, ["c"], None), "two"))
    plain = deltalake.DeltaTable(str(tmp_path / "landed"))
    found = pa.table(plain.to_pyarrow_table()).sort_by("_key")
    assert found.select(SCHEMA.names).to_pydict() == tables.read("landed").to_pydict()


TXNS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(-2, 2), st.integers(0, 3)), min_size=1, max_size=8
)


@given(TXNS)
@settings(max_examples=25, deadline=None)
def test_any_sequence_of_appends_gives_each_transaction_once(
    sequence: list[tuple[int, int, int]],
) -> None:
    expected: dict[int, tuple[int, list[str]]] = {}
    with TemporaryDirectory() as root:
        tables = DeltaTables(root)
        for txn, window, count in sequence:
            keys = [f"{txn}/{window}/{i}" for i in range(count)]
            version = tables.append(Append("landed", rows(window, keys), str(txn)))
            expected.setdefault(txn, (window, keys))
            assert version == len(expected) - 1
        found = tables.read("landed").to_pydict()
        again = DeltaTables(root).read("landed", version=len(expected) - 1).to_pydict()
    in_order = sorted(expected.values(), key=lambda entry: entry[0])  # stable: then by commit
    assert found["_key"] == [key for _, keys in in_order for key in keys]
    assert found == again
