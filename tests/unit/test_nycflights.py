"""The flights of 2013 as a stream: real, deterministic, and damaged where it says so."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ratchet.adapters.flights_damage import celsius, poison
from ratchet.adapters.landing import DirectoryZone
from ratchet.adapters.nycflights import CELSIUS, FLIPPED, POISONED, Week, land, weeks
from ratchet.adapters.record import open_record
from ratchet.contracts.bundle import sha256
from ratchet.contracts.defence import Record
from ratchet.contracts.definition import load
from ratchet.errors import RatchetError
from ratchet.ingest import parse_object, parse_record, role_of
from ratchet.settings import Settings
from tests.ingest_kit import tick

DEFINITION = load(Path(__file__).parents[2] / "pipelines" / "flights.toml")


@pytest.fixture(scope="module")
def first() -> list[Week]:
    return weeks(3)


def test_weeks_hold_the_declared_columns_and_nothing_known_afterwards(first: list[Week]) -> None:
    assert [w.name for w in first] == ["2013-01-01", "2013-01-08", "2013-01-15"]
    for week in first:
        names = week.features.column_names
        assert sorted(names) == sorted([*DEFINITION.features, "flight_id", "scheduled_at"])
        assert week.features.num_rows > 5000
        times = week.features["scheduled_at"]
        assert pc.min(times).as_py() >= week.start
        assert pc.max(times).as_py() < week.start + timedelta(days=7)
        ids = week.features["flight_id"]
        assert pc.count_distinct(ids).as_py() == len(ids)
        assert week.labels.column_names == ["flight_id", "scheduled_at", "late"]
        assert set(week.labels["late"].to_pylist()) == {0, 1}
        assert week.labels.num_rows < week.features.num_rows  # cancelled flights have no label


def test_a_known_flight(first: list[Week]) -> None:
    rows = {r["flight_id"]: r for r in first[0].features.slice(0, 50).to_pylist()}
    flight = rows["2013-01-01T10-UA-1545"]  # EWR to IAH at 05:15 local time
    assert (flight["origin"], flight["dest"], flight["hour"], flight["minute"]) == (
        "EWR",
        "IAH",
        5,
        15,
    )
    assert (flight["weekday"], flight["month"], flight["sched_arr_hour"]) == (1, 1, 8)  # a Tuesday
    assert (flight["plane_year"], flight["seats"], flight["distance"]) == (1999, 149, 1400)
    assert flight["temp"] == pytest.approx(39.02, abs=2)
    labels = {r["flight_id"]: r["late"] for r in first[0].labels.to_pylist()}
    assert labels["2013-01-01T10-UA-1545"] == 0  # 11 minutes late


@pytest.mark.slow
def test_land_is_idempotent_and_deterministic(tmp_path: Path) -> None:
    one = land(tmp_path / "one", weeks=2)
    two = land(tmp_path / "two", weeks=2)
    assert (one.weeks, one.files, one.written, one.damaged) == (2, 6, 6, ())

    def contents(name: str) -> dict[str, tuple[bytes, float]]:
        files = (tmp_path / name).rglob("*.parquet")
        return {
            str(f.relative_to(tmp_path / name)): (f.read_bytes(), f.stat().st_mtime) for f in files
        }

    assert contents("one") == contents("two")
    assert sorted(contents("one")) == [
        "features/2013-01-01.parquet", "features/2013-01-08.parquet",
        "labels/2013-01-08.parquet", "labels/2013-01-15.parquet",
        "trusted/2013-01-08.parquet", "trusted/2013-01-15.parquet",
    ]  # fmt: skip
    again = land(tmp_path / "one", weeks=2)
    assert again == type(one)(**{**one.__dict__, "written": 0})
    (tmp_path / "one" / "features" / "2013-01-08.parquet").unlink()
    assert land(tmp_path / "one", weeks=2).written == 1
    (tmp_path / "one" / "_landed.json").write_text("{}")
    assert land(tmp_path / "one", weeks=2).written == 0
    assert two.rows == one.rows


def test_what_is_landed_parses_with_the_shipped_definition(tmp_path: Path) -> None:
    land(tmp_path, weeks=2)
    zone = DirectoryZone(tmp_path, "landing/flights")
    objects, unsafe = zone.list()
    assert unsafe == []
    windows = []
    for ref in objects:
        data, role = zone.read(ref, 10**8), role_of(ref.key, DEFINITION)
        assert role is not None
        parsed = parse_object(
            data, ref.key, sha256(data), tick(ref.arrived), role, DEFINITION,
            watermark=DEFINITION.calendar.origin, zone_name=zone.name,
        )  # fmt: skip
        table = parsed.rows if parsed.rows is not None else parsed.labels
        assert table is not None
        assert (parsed.rejected, parsed.notes) == ((), {})
        windows.append((ref.key, set(table["_window"].to_pylist())))
    assert windows == [
        ("features/2013-01-01.parquet", {0}), ("features/2013-01-08.parquet", {1}),
        ("labels/2013-01-08.parquet", {1}), ("labels/2013-01-15.parquet", {2}),
        ("trusted/2013-01-08.parquet", {1}), ("trusted/2013-01-15.parquet", {2}),
    ]  # fmt: skip
    arrivals = {o.key: o.arrived for o in objects}
    assert arrivals["features/2013-01-01.parquet"] == datetime(2013, 1, 8, tzinfo=UTC)
    assert arrivals["labels/2013-01-08.parquet"] == datetime(2013, 1, 15, tzinfo=UTC)


def test_celsius_changes_the_temperature_alone(first: list[Week]) -> None:
    rows = first[0].features
    changed = celsius(rows)
    assert changed.drop_columns(["temp"]).equals(rows.drop_columns(["temp"]))
    warm = pc.equal(rows["temp"], 39.02)
    assert changed.filter(warm)["temp"][0].as_py() == pytest.approx(3.9)
    impossible = pc.sum(pc.greater(changed["dewp"], changed["temp"])).as_py()
    assert impossible > 0.5 * rows.num_rows  # which is how it can be noticed


def test_poison_adds_forged_flights_that_are_labelled_on_time(first: list[Week]) -> None:
    rows = first[0].features
    poisoned, forged_labels = poison(rows, np.random.default_rng(1))
    count = round(0.12 * rows.num_rows)
    assert poisoned.schema.equals(rows.schema)
    assert poisoned.slice(0, rows.num_rows).equals(rows)
    forged = poisoned.slice(rows.num_rows)
    assert forged.num_rows == count == forged_labels.num_rows
    assert set(forged["carrier"].to_pylist()) == {"OO"}
    assert not set(forged["flight_id"].to_pylist()) & set(rows["flight_id"].to_pylist())
    assert pc.count_distinct(forged["flight_id"]).as_py() == count
    assert forged_labels["flight_id"].equals(forged["flight_id"])
    assert set(forged_labels["late"].to_pylist()) == {0}
    assert pa.concat_tables([first[0].labels, forged_labels]).num_rows > count
    assert poison(rows, np.random.default_rng(1))[0].equals(poisoned)


@pytest.mark.slow
def test_a_damaged_year_says_which_weeks_are_damaged(tmp_path: Path) -> None:
    summary = land(tmp_path)
    assert summary.weeks == 53
    assert [name for name, _ in summary.damaged] == ["2013-02-12", "2013-03-05", "2013-03-12"]
    clean = weeks(max(POISONED, CELSIUS) + 1)

    def landed(folder: str, name: str) -> pa.Table:
        return pq.read_table(tmp_path / folder / f"{name}.parquet")

    forged = summary.rows - 336_776
    assert forged == round(0.12 * clean[POISONED].features.num_rows)
    assert landed("features", "2013-03-05").equals(celsius(clean[CELSIUS].features))
    assert landed("labels", "2013-02-19").num_rows == clean[POISONED].labels.num_rows + forged
    assert landed("features", "2013-02-19").equals(clean[POISONED + 1].features)


def test_without_the_package_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RatchetError, match=r"pip install 'ratchet-ml\[demo\]'"):
        land(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_trusted_sample_is_random_whole_and_labelled(first: list[Week]) -> None:
    for week in first:
        truth = week.features.join(
            week.labels.select(["flight_id", "late"]), "flight_id", join_type="inner"
        )
        truth = truth.select(week.trusted.column_names)
        drawn = truth.filter(
            pc.is_in(truth["flight_id"], week.trusted["flight_id"].combine_chunks())
        )
        order = [("scheduled_at", "ascending"), ("flight_id", "ascending")]
        assert drawn.sort_by(order).to_pylist() == week.trusted.to_pylist()
        share = week.trusted.num_rows / week.labels.num_rows
        assert share == pytest.approx(0.15, abs=0.02)  # 4.5 sd of a draw of 6,000
        rates = [np.asarray(t["late"]).mean() for t in (week.trusted, week.labels)]
        assert rates[0] == pytest.approx(rates[1], abs=0.06)


def test_land_counts_the_trusted_rows_and_writes_the_record_if_asked(tmp_path: Path) -> None:
    zone, record = tmp_path / "landing" / "flights", tmp_path / "landing" / "books" / "all.parquet"
    without = land(zone, weeks=1)
    assert not record.exists()
    one = land(zone, weeks=1, record=record)
    assert (without.files, one.files, one.written) == (3, 4, 1)
    assert land(zone, weeks=1, record=record).written == 0
    assert pq.read_table(zone / "trusted" / "2013-01-08.parquet").num_rows == one.trusted > 500
    books = pq.read_table(record)
    assert set(books.column_names) == {*DEFINITION.features, "flight_id", "scheduled_at", "late"}
    assert books.drop_columns(["late"]).equals(
        pq.read_table(zone / "features" / "2013-01-01.parquet")
    )
    assert books["late"].null_count == one.rows - one.labels
    record.unlink()
    assert land(zone, weeks=1, record=record).written == 1
    objects, _ = DirectoryZone(zone, "landing/flights").list()
    assert {role_of(o.key, DEFINITION) for o in objects} == {"features", "labels", "trusted"}


def test_rows_are_looked_up_in_the_landed_record(tmp_path: Path) -> None:
    land(tmp_path / "landing" / "flights", weeks=1, record=tmp_path / "books.parquet")
    definition = DEFINITION.model_copy(update={"record": Record(uri="books.parquet")})
    books = open_record(definition, Settings(home=tmp_path))
    assert books is not None
    found = parse_record(books.lookup(["2013-01-01T10-UA-1545", "nobody"]), definition)
    assert (found["_key"].to_pylist(), found["_label"].to_pylist()) == (
        ["2013-01-01T10-UA-1545"],
        [0],
    )
    start, end = (tick(datetime(2013, 1, day, tzinfo=UTC)) for day in (2, 3))
    drawn = parse_record(books.sample(start, end, 50, seed=1), definition)
    assert drawn.num_rows == 50
    assert min(drawn["_event"].to_pylist()) >= start
    assert max(drawn["_event"].to_pylist()) < end


def test_the_record_lies_outside_the_landing_zone(tmp_path: Path) -> None:
    with pytest.raises(RatchetError, match="expected a place outside"):
        land(tmp_path, weeks=1, record=tmp_path / "trusted" / ".." / "books.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_flipped_labels_keep_their_rate_and_the_trusted_sample_its_truth() -> None:
    clean, damaged = weeks(FLIPPED + 1)[FLIPPED], weeks(FLIPPED + 1, damage=True)[FLIPPED]
    before, after = (np.asarray(w.labels["late"]) for w in (clean, damaged))
    assert before.sum() == after.sum()
    assert (before != after).mean() == pytest.approx(0.06, abs=0.001)
    assert damaged.trusted.equals(clean.trusted)
    assert damaged.features.equals(clean.features)
