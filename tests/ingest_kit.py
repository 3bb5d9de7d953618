"""A small pipeline and the shortest way to parse an object with it, for the tests of ingest."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ratchet.contracts.bundle import sha256
from ratchet.contracts.clock import EPOCH, MICROSECOND
from ratchet.contracts.definition import Definition
from ratchet.ingest import Parsed, parse_object, role_of

T0 = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3_600_000_000
WEEK = 7 * 24 * HOUR


def tick(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def definition(**changes: dict[str, Any]) -> Definition:
    """Features ``x`` (number) and ``c`` (category), key ``id``, time ``t``, label ``y`` apart."""
    content: dict[str, Any] = {
        "name": "small",
        "source": {
            "landing": "in",
            "features": "features/**",
            "labels": "labels/**",
            "key": ["id"],
        },
        "time": {"column": "t", "window": "7d", "origin": "2024-01-01"},
        "label": {"column": "y", "classes": [0, 1], "delay": "7d"},
        "features": {"x": "number", "c": "category"},
        "validate": {"suite": "expectations/small.json"},
        "recipes": [{"name": "all"}],
    }
    for part, values in changes.items():
        kept = content.get(part, {}) if part != "features" else {}
        content[part] = {k: v for k, v in {**kept, **values}.items() if v is not None}
    return Definition.model_validate(content)


def together(**changes: dict[str, Any]) -> Definition:
    """The same pipeline with the label beside the features."""
    source = {"features": "**", "labels": None, **changes.pop("source", {})}
    return definition(source=source, **changes)


def counted(**changes: dict[str, Any]) -> Definition:
    """The label beside the features, and an integer clock with windows of 100."""
    time = {"kind": "integer", "window": 100, "origin": 0, **changes.pop("time", {})}
    label = {"delay": 0, **changes.pop("label", {})}
    return together(time=time, label=label, **changes)


def features(n: int = 4, **columns: Any) -> pa.Table:
    """``n`` good feature rows, an hour apart; ``columns`` replace or add."""
    base: dict[str, Any] = {
        "id": [f"k{i}" for i in range(n)],
        "t": pa.array([T0 + timedelta(hours=i) for i in range(n)], pa.timestamp("us", "UTC")),
        "x": [float(i) for i in range(n)],
        "c": [f"c{i % 2}" for i in range(n)],
    }
    return pa.table({**base, **columns})


def labels(n: int = 4, **columns: Any) -> pa.Table:
    """Labels for :func:`features`."""
    base = features(n).select(["id", "t"])
    columns = {"y": pa.array([i % 2 for i in range(n)], pa.int64()), **columns}
    return pa.table({**dict(zip(base.column_names, base.columns, strict=True)), **columns})


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **{"write_page_checksum": True, **options})
    return out.getvalue()


def parse(
    data: bytes | pa.Table | str,
    key: str = "features/a.parquet",
    of: Definition | None = None,
    *,
    arrived: datetime | None = T0 + timedelta(days=3650),
    watermark: int = tick(T0),
) -> Parsed:
    """Parse an object: a table is written as Parquet, text is encoded."""
    of = of or definition()
    if isinstance(data, pa.Table):
        data = parquet(data)
    content = data.encode() if isinstance(data, str) else data
    role = role_of(key, of)
    assert role is not None
    arrived_tick = tick(arrived) if arrived and of.time.kind == "timestamp" else None
    return parse_object(
        content,
        key,
        sha256(content),
        arrived_tick,
        role,
        of,
        watermark=watermark if of.time.kind == "timestamp" else 0,
        zone_name="in",
    )


def checks(parsed: Parsed) -> list[str]:
    return [r.check for r in parsed.rejected]
