"""How a pipeline does, as numbers for a monitoring system: derived from its tables, nothing kept.

>>> of_decisions("flights", [Done(decision, at)])["ratchet_champion_version"]   # doctest: +SKIP
{('flights',): 7.0}

Promise: the same tables always give the same numbers, so a process that dies loses none and a
restart counts none twice. Every label has a bounded set of values: pipelines, outcomes, stages, and
at most :data:`MOST_CHECKS` checks a pipeline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from ratchet.contracts.evidence import Evidence
from ratchet.contracts.lineage import Decision
from ratchet.contracts.readings import BUCKETS, Readings, Spread

MOST_CHECKS = 40  # names of checks a pipeline; what comes later counts as "other"
STAGES = ("ingest", "validate", "self_train", "drift", "gate", "register")


@dataclass(frozen=True)
class Done:
    """A decision and when it was entered (UTC)."""

    decision: Decision
    at: datetime


def of_decisions(pipeline: str, lines: Iterable[Done]) -> Readings:
    """All that follows from the done decisions of a pipeline, in any order."""
    ordered = sorted(lines, key=lambda line: line.at)
    cycles = [line for line in ordered if not line.decision.is_rollback]
    p = (pipeline,)
    outcomes = Counter(line.decision.outcome for line in cycles)
    out: Readings = {
        "ratchet_cycles_total": {
            (pipeline, o): float(outcomes[o])
            for o in ("promoted", "held", "blocked", "no_data", "error")
        },
        "ratchet_rollbacks_total": {p: float(len(ordered) - len(cycles))},
        "ratchet_failed_checks_total": _failed(pipeline, cycles),
        "ratchet_blocked_windows_in_a_row": {p: float(_blocked_in_a_row(cycles))},
        **_amounts(pipeline, [line.decision for line in cycles]),
        **_seconds(pipeline, [line.decision for line in cycles]),
        **_champion(pipeline, ordered),
        **_models(pipeline, [line.decision for line in cycles]),
    }
    well = [line for line in cycles if line.decision.outcome != "error"]
    for name, found in (("cycle", cycles), ("successful_cycle", well)):
        if found:
            out[f"ratchet_last_{name}_timestamp_seconds"] = {p: found[-1].at.timestamp()}
    return out


def of_landed(pipeline: str, rows: Sequence[int], labels: Sequence[int]) -> Readings:
    """How far labels are behind rows; ``rows`` and ``labels`` are indices of windows with any."""
    if not rows or not labels:
        return {}
    lag = max(0, max(rows) - max(labels))
    return {"ratchet_label_lag_windows": {(pipeline,): float(lag)}}


def of_incidents(pipeline: str, kinds: Iterable[str]) -> Readings:
    """Incidents, counted by kind."""
    counts = Counter(kinds)
    return {"ratchet_incidents_total": {(pipeline, k): float(n) for k, n in counts.items()}}


def of_notifications(pipeline: str, statuses: Iterable[str]) -> Readings:
    """Tries to tell somebody, ``sent`` or ``failed``."""
    counts = Counter(statuses)
    return {
        "ratchet_notifications_total": {
            (pipeline, status): float(counts[status]) for status in ("sent", "failed")
        }
    }


def merged(parts: Iterable[Mapping[str, Mapping[tuple[str, ...], float | Spread]]]) -> Readings:
    """The readings of several pipelines, or of parts of one, together."""
    out: Readings = {}
    for part in parts:
        for name, values in part.items():
            out.setdefault(name, {}).update(values)
    return out


def _failed(pipeline: str, cycles: list[Done]) -> dict[tuple[str, ...], float | Spread]:
    names: dict[str, str] = {}
    counts: Counter[tuple[str, ...]] = Counter()
    for line in cycles:
        for evidence in line.decision.evidence:
            if not evidence.verdict.lets_through:
                name = _bounded(evidence, names)
                counts[(pipeline, name, evidence.verdict.value)] += 1
    return {labels: float(n) for labels, n in counts.items()}


def _bounded(evidence: Evidence, names: dict[str, str]) -> str:
    """The check's name; those of a suite hold columns, so they are one."""
    name = "suite" if evidence.check.startswith("suite.") else evidence.check[:80]
    if name not in names and len(names) >= MOST_CHECKS:
        return "other"
    return names.setdefault(name, name)


def _blocked_in_a_row(cycles: list[Done]) -> int:
    """Windows at the end of which nothing but blocked or broken cycles is known."""
    fine: dict[int, bool] = {}
    for line in cycles:
        index = line.decision.window_index
        fine[index] = fine.get(index, False) or line.decision.outcome not in ("blocked", "error")
    count = 0
    for index in sorted(fine, reverse=True):
        if fine[index]:
            break
        count += 1
    return count


def _amounts(pipeline: str, cycles: list[Decision]) -> Readings:
    first = {d.window_index: d for d in reversed(cycles)}.values()  # learning again lands nothing
    rows = {
        "in": sum(d.rows_in for d in first),
        "accepted": sum(d.accepted for d in first),
        "quarantined": sum(d.quarantined for d in first),
    }
    labels = {
        "in": sum(d.labels_in for d in first),
        "quarantined": sum(d.labels_quarantined for d in first),
    }
    return {
        "ratchet_rows_total": {(pipeline, k): float(v) for k, v in rows.items()},
        "ratchet_labels_total": {(pipeline, k): float(v) for k, v in labels.items()},
    }


def _seconds(pipeline: str, cycles: list[Decision]) -> Readings:
    counts, total = [0] * len(BUCKETS), 0.0
    stages: Counter[str] = Counter()
    for decision in cycles:
        took = sum(decision.seconds.values())
        counts[next(i for i, edge in enumerate(BUCKETS) if took <= edge)] += 1
        total += took
        stages.update({s: v for s, v in decision.seconds.items() if s in STAGES})
    out: Readings = {
        "ratchet_cycle_duration_seconds": {(pipeline,): Spread(tuple(counts), total)},
        "ratchet_stage_seconds_total": {(pipeline, s): float(v) for s, v in stages.items()},
    }
    if cycles:
        last = cycles[-1]
        out["ratchet_last_stage_seconds"] = {
            (pipeline, s): v for s, v in last.seconds.items() if s in STAGES
        }
        out["ratchet_last_peak_memory_bytes"] = {(pipeline,): last.peak_mib * 2**20}
    return out


def _champion(pipeline: str, ordered: list[Done]) -> Readings:
    moves = [d for d in ordered if d.decision.champion_after != d.decision.champion_before]
    if not moves or moves[-1].decision.champion_after is None:
        return {}
    p, promoted = (pipeline,), [m.decision for m in moves if not m.decision.is_rollback]
    out: Readings = {
        "ratchet_champion_version": {p: float(moves[-1].decision.champion_after)},
        "ratchet_champion_since_timestamp_seconds": {p: moves[-1].at.timestamp()},
    }
    if promoted:
        newest = max(line.decision.window_index for line in ordered)
        since = newest - promoted[-1].window_index
        out["ratchet_windows_since_promotion"] = {p: float(since)}
    return out


def _models(pipeline: str, cycles: list[Decision]) -> Readings:
    out: Readings = {}
    judged = [d for d in cycles if "loss" in d.candidate]
    if judged:
        losses = {"candidate": judged[-1].candidate, "champion": judged[-1].champion}
        out["ratchet_holdout_loss"] = {
            (pipeline, model): found["loss"] for model, found in losses.items() if "loss" in found
        }
    measured = [d.drift["share_moved"] for d in cycles if d.drift.get("share_moved") is not None]
    if measured:
        out["ratchet_drift_share"] = {(pipeline,): float(measured[-1])}
    return out
