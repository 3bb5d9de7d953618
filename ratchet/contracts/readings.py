"""The metrics there are, and the form in which their values travel.

>>> {"ratchet_up": {("flights",): 1.0}}                                # doctest: +SKIP

A test holds the dashboard and the alert rules against :data:`FAMILIES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, float("inf"))  # seconds


@dataclass(frozen=True)
class Spread:
    """A histogram: how many fell into each of :data:`BUCKETS` (not summed up), and their sum."""

    counts: tuple[int, ...]
    total: float


Readings = dict[str, dict[tuple[str, ...], float | Spread]]  # family to label values to value


@dataclass(frozen=True)
class Family:
    """One metric: its name (a counter's ends in ``_total``), kind, help and label names."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    about: str
    labels: tuple[str, ...] = ("pipeline",)


FAMILIES = (
    Family("ratchet_up", "gauge", "1 when the pipeline's tables could be read for this answer."),
    Family("ratchet_cycles_total", "counter", "Cycles by outcome.", ("pipeline", "outcome")),
    Family("ratchet_rollbacks_total", "counter", "Times an earlier champion was put back."),
    Family("ratchet_cycle_duration_seconds", "histogram", "Wall time of a cycle."),
    Family("ratchet_stage_seconds_total", "counter", "Wall time by stage.", ("pipeline", "stage")),
    Family(
        "ratchet_last_stage_seconds",
        "gauge",
        "Wall time of the newest cycle by stage.",
        ("pipeline", "stage"),
    ),
    Family("ratchet_last_peak_memory_bytes", "gauge", "Peak memory of the newest cycle."),
    Family(
        "ratchet_rows_total",
        "counter",
        "Rows that came in, were accepted, were quarantined.",
        ("pipeline", "result"),
    ),
    Family(
        "ratchet_labels_total",
        "counter",
        "Labels that came in, were quarantined.",
        ("pipeline", "result"),
    ),
    Family(
        "ratchet_failed_checks_total",
        "counter",
        "Checks that did not let through, by check and verdict.",
        ("pipeline", "check", "verdict"),
    ),
    Family("ratchet_blocked_windows_in_a_row", "gauge", "Newest windows that were all blocked."),
    Family("ratchet_champion_version", "gauge", "The version that the newest decision serves."),
    Family(
        "ratchet_champion_since_timestamp_seconds", "gauge", "When it began to serve, Unix time."
    ),
    Family("ratchet_windows_since_promotion", "gauge", "Decided windows since the last one."),
    Family("ratchet_last_cycle_timestamp_seconds", "gauge", "End of the newest cycle, Unix time."),
    Family(
        "ratchet_last_successful_cycle_timestamp_seconds",
        "gauge",
        "When the newest cycle ended that was no error, Unix time.",
    ),
    Family("ratchet_window_length_seconds", "gauge", "Length of a window; none on integer clocks."),
    Family(
        "ratchet_holdout_loss",
        "gauge",
        "Mean loss on the newest holdout that was judged.",
        ("pipeline", "model"),
    ),
    Family("ratchet_drift_share", "gauge", "Share of the champion's gain in columns that moved."),
    Family("ratchet_undecided_windows", "gauge", "Complete windows that no cycle has decided."),
    Family(
        "ratchet_label_lag_windows",
        "gauge",
        "Windows from the newest labels that landed to the newest rows, by when each was known.",
    ),
    Family("ratchet_incidents_total", "counter", "Incidents by kind.", ("pipeline", "kind")),
    Family(
        "ratchet_notifications_total",
        "counter",
        "Tries to tell somebody, by how they ended.",
        ("pipeline", "status"),
    ),
    Family("ratchet_open_quarantine_entries", "gauge", "Entries that wait for a person."),
    Family("ratchet_lease_held", "gauge", "1 while a run works on the pipeline."),
)
