"""Writes what was inferred as ``pipelines/<name>.toml``, with a comment where a person may ask why.

Promise: :func:`ratchet.contracts.definition.parse` takes the text as it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ratchet.profile.values import Inferred

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Table

HOLDOUT_ROWS = 1000  # wanted on the gate's side
DEFENCE = """
How sure Ratchet can be of what it learns; docs/how-to/defend-a-stream.md says when to use which.
Take the '#' away from the lines of a section to switch it on.

[trusted]
objects = "trusted/**"            # key, time, features, label of a random 5 to 15 % of each window
min_rows = 100                    # fewer in a window are no control: its labels wait
keyed = true                      # they carry the stream's keys

[record]
uri = "truth.parquet"             # or sqlite://, postgresql://, https://: to look single rows up
lookups = 100                     # rows of one audit

[shield]
alpha = 0.001                     # chance that a clean batch is blocked by comparison
suspicion = 0.1                   # level at which a batch is nominated for an audit
max_mismatch = 0.005              # share of rows in which two honest paths may differ
max_source_share = 1.0            # of a batch that may come from one source
"""
_METRIC = {"binary": "AUC", "multiclass": "balanced accuracy", "regression": "R2"}


def pipeline_toml(inferred: Inferred) -> str:
    """The pipeline file: every key of the definition that the data decide, commented."""
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment(f"Written by `ratchet init` from {inferred.rows} rows."))
    document.add(tomlkit.comment("It is yours to change; docs/reference/pipeline.md has each key."))
    document.add("name", tomlkit.item(inferred.name))
    document["source"] = _source(inferred)
    document["time"] = _time(inferred)
    document["label"] = _label(inferred)
    document["features"] = _table(
        {name: (kind, "") for name, kind in inferred.features.items()},
    )
    _rules(document, inferred)
    return tomlkit.dumps(document) + _defence(inferred)


def _defence(inferred: Inferred) -> str:
    """The sections of the defence, commented out: they need what no sample can tell."""
    lines = DEFENCE.splitlines()
    if not inferred.key:
        needs = "[trusted] and [record] need source.key, a column that identifies a row."
        lines.insert(lines.index("[trusted]") - 1, needs)
    return "\n".join(f"# {line}".rstrip() if line else "" for line in lines) + "\n"


def _table(rows: dict[str, tuple[Any, str]]) -> Table:
    """A TOML table from key to (value, comment)."""
    import tomlkit

    table = tomlkit.table()
    for key, (value, comment) in rows.items():
        item = tomlkit.item(value)
        if comment:
            item.comment(comment)
        table.add(key, item)
    return table


def _source(inferred: Inferred) -> Table:
    rows: dict[str, tuple[Any, str]] = {
        "landing": (inferred.landing, "a directory, or s3://bucket/prefix; drop new files here"),
        "features": (inferred.glob, "which files of it"),
    }
    if inferred.key:
        rows["key"] = ([inferred.key], "identifies a row")
    if inferred.ignored:
        rows["ignore"] = (list(inferred.ignored), "columns that may come but are not learned from")
    return _table(rows)


def _time(inferred: Inferred) -> Table:
    time = inferred.time
    window: Any = int(time.window) if time.kind == "integer" else time.window
    origin: Any = int(time.origin) if time.kind == "integer" else time.origin
    rows: dict[str, tuple[Any, str]] = {
        "column": (time.column, "when it happened"),
        "kind": (time.kind, ""),
        "window": (window, "one cycle of the loop; about how often a model may change"),
        "origin": (origin, "where window 0 starts"),
    }
    if time.zone:
        rows["zone"] = (time.zone, "the times name none; such as America/New_York")
    return _table(rows)


def _label(inferred: Inferred) -> Table:
    target = inferred.target
    delay: Any = (
        int(inferred.label_delay) if inferred.label_delay.isdigit() else inferred.label_delay
    )
    rows: dict[str, tuple[Any, str]] = {
        "column": (target.column, "what is predicted"),
        "objective": (target.objective, ""),
    }
    if target.classes:
        second = "the second one is positive" if target.objective == "binary" else ""
        rows["classes"] = (list(target.classes), second)
    rows["delay"] = (delay, "how long after its event a label is known")
    if inferred.label_time:
        rows["known_column"] = (inferred.label_time, "when each label became known")
    if target.labelled_share < 0.6:
        share = math.floor(target.labelled_share * 50) / 100
        rows["min_labelled_share"] = (share, "half of what the sample had")
    return _table(rows)


def _rules(document: TOMLDocument, inferred: Inferred) -> None:
    import tomlkit

    per_window = inferred.rows_per_window
    holdout = max(1, min(4, math.ceil(HOLDOUT_ROWS / per_window), inferred.time.windows // 6))
    held = per_window * holdout
    labelled = math.floor(per_window * inferred.target.labelled_share)
    document["validate"] = _table(
        {
            "suite": (f"expectations/{inferred.name}.json", "the data rules; no code"),
            "max_quarantined_share": (0.05, "more failing rows than this block the whole batch"),
            "max_unseen_share": (
                1.0 if inferred.new_values else 0.2,
                "rows whose category the champion never saw",
            ),
            "min_rows": (max(1, min(1000, per_window // 10)), "smaller batches are noted"),
        }
    )
    document["train"] = _table(
        {
            "seed": (20130101, ""),
            "threads": (2, "part of the lineage: it decides the bytes"),
            "min_rows": (
                max(50, min(2000, labelled // 2)),
                "a member with fewer waits; one learns from the newest window alone",
            ),
            "holdout_windows": (holdout, "newest labelled windows: the gate judges on them"),
        }
    )
    document["mixture"] = tomlkit.table()
    document["mixture"].comment("three cheap recipes, weighed by what each has shown lately")
    document["drift"] = _table(
        {
            "column_distance": (0.1, "Jensen-Shannon distance from which a column has moved"),
            "importance_share": (
                0.3,
                "moved columns that carry this share of the model: a warning",
            ),
        }
    )
    document["gate"] = _gate(inferred, held)


def _gate(inferred: Inferred, held: int) -> Table:
    objective, k = inferred.target.objective, len(inferred.target.classes)
    chance = {"binary": 0.5, "regression": 0.0}  # what a constant score reaches
    floor = chance.get(objective, round(1 / max(k, 1), 4))
    rows: dict[str, tuple[Any, str]] = {
        "alpha": (0.05, "the risk of ever promoting what is no better"),
        "blocks": (max(8, min(56, held // 20)), "time blocks: rows of one count as one"),
        "min_rows": (max(30, min(1000, held // 3)), "of the holdout; with fewer nothing passes"),
    }
    if inferred.slices:
        rows["slices"] = (list(inferred.slices), "no group of these may get worse")
        rows["slice_min_rows"] = (max(30, min(300, held // 10)), "smaller groups are not judged")
        rows["slice_margin"] = (0.05, "of the champion's loss")
    rows["floor"] = (
        floor,
        f"{_METRIC[objective]}, lower bound; this is chance: raise it if you can",
    )
    rows["max_calibration_error"] = (0.2, "")
    rows["shortcuts"] = (True, "features that may leak the label: block, or ask a person")
    return _table(rows)
