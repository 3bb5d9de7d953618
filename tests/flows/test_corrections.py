"""Rows and labels that come again with other values: released only where they can count."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flows.retrain import run_windows
from ratchet.contracts.columns import ACCEPTED, KEY, LABEL, LABELS, OBJECT, SOURCE
from ratchet.contracts.revocation import revoked_now
from ratchet.errors import Refused
from tasks import quarantine, revoke, windows
from tasks.reach import object_named
from tests import streams

WHO = {"by": "Ada", "reason": "the source put it right"}


def run(space):
    """What is due: the newest window that landed is not yet complete."""
    return list(run_windows(space, windows.undecided(space, None, None)))


def entry_of(space, check: str, kind: str) -> str:
    found = quarantine.entries(space, only_open=True)
    return next(e["entry"] for e in found if (e["check"], e["kind"]) == (check, kind))


@pytest.fixture
def space(tmp_path: Path):
    streams.project(tmp_path, 0)
    for index in range(4):
        streams.land_window(tmp_path, index)
    space = streams.quick(streams.workspace(tmp_path))
    run(space)
    return space


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def corrected(space, home: Path) -> tuple[pa.Table, str]:
    """Twenty labels that came again turned around, and the entry that they went to."""
    table = streams.window_rows(1).slice(0, 20).select(["id", "t", "y"])
    turned = replaced(table, "y", pc.subtract(1, table["y"]))
    streams.put(home, "labels/corrected.parquet", turned)
    streams.land_window(home, 4)
    streams.land_window(home, 5)
    run(space)
    return turned, entry_of(space, "conflicting_key", "label")


def test_a_corrected_label_is_released_once_the_first_is_taken_back(space, tmp_path: Path):
    turned, entry = corrected(space, tmp_path)
    told = "20 of its 20 labels have a key that was accepted before"
    with pytest.raises(Refused, match=told) as refused:
        quarantine.act(space, entry, "released", **WHO)
    assert entry_of(space, "conflicting_key", "label") == entry  # nothing was written
    first = str(refused.value).split("--object ")[1].split("'")[0]
    revoke.revoke(space, object_named(space, first), by="Ada", reason="wrong labels")
    assert quarantine.act(space, entry, "released", **WHO) == 20
    held = space.tables.read(LABELS)
    mine = held.filter(pc.is_in(held[KEY], value_set=pa.array(turned["id"].to_pylist())))
    assert mine.num_rows == 40  # the first stays in the table, and is revoked
    assert revoked_now(space.tables.read("revocations"))
    assert mine[LABEL].to_pylist()[20:] == turned["y"].to_pylist()


def test_a_second_row_of_a_key_is_never_released_beside_the_first(space, tmp_path: Path):
    table = streams.window_rows(4)
    again = replaced(table.slice(0, 5), "x", pa.array([9.0] * 5))
    streams.land_window(tmp_path, 4)
    streams.land_window(tmp_path, 5)
    run(space)
    streams.put(tmp_path, "features/again.parquet", again.drop_columns(["y"]))
    streams.land_window(tmp_path, 6)
    streams.land_window(tmp_path, 7)
    run(space)
    entry = entry_of(space, "conflicting_key", "row")
    with pytest.raises(Refused, match="5 of its 5 rows have a key that was accepted before"):
        quarantine.act(space, entry, "released", **WHO)
    keys = space.tables.read(ACCEPTED)[KEY].to_pylist()
    assert len(keys) == len(set(keys))
    assert quarantine.act(space, entry, "discarded", **WHO) == 5


def test_two_versions_in_one_batch_are_not_released_together(space, tmp_path: Path):
    table = streams.window_rows(4)
    both = pa.concat_tables([table, replaced(table.slice(0, 5), "x", pa.array([9.0] * 5))])
    streams.land_window(tmp_path, 4, both)
    streams.land_window(tmp_path, 5)
    run(space)
    entry = entry_of(space, "conflicting_key", "row")
    with pytest.raises(Refused, match="5 of its 10 rows have the key of another one of it"):
        quarantine.act(space, entry, "released", **WHO)


@pytest.mark.parametrize("sender", ["first", "second"])
def test_a_source_is_not_restored_beside_what_took_its_keys(tmp_path: Path, sender: str):
    """Labels taken back, put right by the same sender or another, and then let in again: refused,
    with a way out that leads somewhere."""
    text = streams.PIPELINE.replace('"labels/**"', '"labels/{source}/**"')
    streams.project(tmp_path, 0, text)
    space = streams.quick(streams.workspace(tmp_path))
    table = streams.window_rows(1).slice(0, 20).select(["id", "t", "y"])
    for index in range(6):
        rows = streams.window_rows(index)
        streams.put(tmp_path, f"features/w{index}.parquet", rows.drop_columns(["y"]))
        streams.put(tmp_path, f"labels/first/w{index}.parquet", rows.select(["id", "t", "y"]))
        if index == 3:
            run(space)
            turned = replaced(table, "y", pc.subtract(1, table["y"]))
            streams.put(tmp_path, f"labels/{sender}/corrected.parquet", turned)
    run(space)
    entry = entry_of(space, "conflicting_key", "label")
    held = space.tables.read(LABELS, [KEY, SOURCE, OBJECT]).to_pylist()
    mine = next(line for line in held if line[KEY] == table["id"][0].as_py())
    revoke.revoke(space, object_named(space, mine[OBJECT]), by="Ada", reason="wrong labels")
    assert quarantine.act(space, entry, "released", **WHO) == 20
    before = space.tables.read("revocations").num_rows
    with pytest.raises(Refused, match="would come") as refused:
        revoke.restore(space, mine[SOURCE], **WHO)
    assert space.tables.read("revocations").num_rows == before
    if sender == "first":
        assert "20 of its labels have a key of 400 that would come back" in str(refused.value)
        assert "--object" not in str(refused.value)
        return
    assert "20 of 400 labels that would come back have a key that was accepted" in str(
        refused.value
    )
    other = str(refused.value).split("--object ")[1].split("'")[0]
    revoke.revoke(space, object_named(space, other), by="Ada", reason="the first were right")
    revoke.restore(space, mine[SOURCE], **WHO)
