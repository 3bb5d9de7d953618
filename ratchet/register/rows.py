"""Decisions and incidents as rows of their tables, and the tags of a model version."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from ratchet.contracts.bundle import MODEL, Bundle
from ratchet.contracts.columns import WINDOW, decisions_schema, incidents_schema
from ratchet.contracts.economics import CHECK as ECONOMICS
from ratchet.contracts.evidence import Evidence
from ratchet.contracts.lineage import Decision, Lineage, canonical_json, digest_of
from ratchet.contracts.seams import CYCLE_KEY_TAG, DIGEST_TAG
from ratchet.contracts.search import CHECK as SEARCH
from ratchet.errors import Damaged
from ratchet.register.describe import clock_of, weights_of

if TYPE_CHECKING:
    import pyarrow as pa

Phase = Literal["intent", "done"]
Kind = Literal["cycle", "rollback"]


@dataclass(frozen=True)
class Entry:
    """One line of the decisions table. ``id`` joins an intent with its done."""

    id: str
    kind: str
    phase: str
    decision: Decision
    by: str
    at: datetime


def decision_row(
    decision: Decision, phase: Phase, at: datetime, by: str, kind: Kind = "cycle"
) -> pa.Table:
    """One row of ``decisions``; its id is the decision's cycle key, the same in both phases.

    Args:
        decision: what was concluded.
        phase: ``intent`` before the alias moves, ``done`` after it, or at once without a move.
        at: when; with a time zone.
        by: the run or the person.
        kind: a cycle, or a rollback by a person.
    """
    import pyarrow as pa

    row = {
        "id": decision.cycle_key,
        "pipeline": decision.pipeline,
        "kind": kind,
        "phase": phase,
        WINDOW: decision.window_index,
        "window_label": decision.window,
        "cycle_key": decision.cycle_key,
        "definition_digest": decision.definition_digest,
        "outcome": decision.outcome,
        "champion_before": decision.champion_before,
        "champion_after": decision.champion_after,
        "document": canonical_json(decision.as_json()),
        "by": by,
        "at": at,
    }
    return pa.Table.from_pylist([row], schema=decisions_schema())


def decisions_from(table: pa.Table) -> list[Entry]:
    """The entries of a decisions table, in its order; an empty table gives none.

    Raises:
        Damaged: a row's document is not a decision.
    """
    if table.num_rows == 0:
        return []
    wanted = ["id", "kind", "phase", "document", "by", "at"]
    entries = []
    for row in table.select(wanted).to_pylist():
        try:
            row["decision"] = Decision.from_json(json.loads(row.pop("document")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Damaged(
                f"decision {row['id']!r}: its document cannot be read ({error!r}); expected JSON "
                "of a Decision. Read an older version of the decisions table."
            ) from error
        entries.append(Entry(**row))
    return entries


def incident_row(decision: Decision, at: datetime) -> pa.Table:
    """One row of ``incidents``: why this cycle was blocked or broke, with what did not pass.

    The same cycle and outcome always have the same id.
    """
    failed = [e for e in decision.evidence if not e.verdict.lets_through]
    return _incident(decision, decision.outcome, decision.reasons, failed, at)


def watch_incident_row(newest: Decision, evidence: Evidence, at: datetime) -> pa.Table:
    """One row of ``incidents``: what the watch found after the newest decision."""
    return _incident(newest, evidence.check, (evidence.arithmetic,), [evidence], at)


def _incident(
    decision: Decision, kind: str, reasons: Sequence[str], evidence: list[Evidence], at: datetime
) -> pa.Table:
    import pyarrow as pa

    document = {
        "cycle_key": decision.cycle_key,
        "run_id": decision.run_id,
        "reasons": list(reasons),
        "evidence": [e.as_json() for e in evidence],
        "champion": decision.champion_after,
    }
    row = {
        "id": digest_of([decision.cycle_key, kind])[:16],
        "pipeline": decision.pipeline,
        WINDOW: decision.window_index,
        "kind": kind,
        "summary": reasons[0] if reasons else kind,
        "document": canonical_json(document),
        "at": at,
    }
    return pa.Table.from_pylist([row], schema=incidents_schema())


def version_tags(bundle: Bundle, decision: Decision) -> dict[str, str]:
    """Tags of a model version: its window, recipe, table versions, parent and digests.

    The whole query that its training set is lies in the bundle's manifest.
    """
    lineage = bundle.manifest.lineage
    return {
        CYCLE_KEY_TAG: decision.cycle_key,
        DIGEST_TAG: bundle.digest,
        **{f"ratchet.{name}": value for name, value in _facts(lineage).items()},
        "ratchet.model_digest": bundle.manifest.files.get(MODEL, ""),
    }


def run_params(decision: Decision) -> dict[str, str]:
    """Parameters of the cycle's run: what was asked for, from the candidate's lineage."""
    show = clock_of(decision.window).show
    lineage, known = decision.lineage, {"window": decision.window, "as_of": show(decision.as_of)}
    if lineage is None:
        return known
    recipe = {k: v for k, v in lineage.recipe.items() if k != "name" and v is not None}
    return {
        **known,
        **_facts(lineage),
        "train_from": "" if lineage.train_from is None else show(lineage.train_from),
        "train_before": show(lineage.train_before),
        "seed": str(lineage.seed),
        "threads": str(lineage.threads),
        **{f"recipe.{name}": str(value) for name, value in recipe.items()},
    }


def run_metrics(decision: Decision) -> dict[str, float]:
    """Metrics of the cycle's run, grouped by the part before the slash; only finite numbers."""
    lineage = decision.lineage
    found: dict[str, float | None] = {
        "rows/in": decision.rows_in,
        "rows/accepted": decision.accepted,
        "rows/quarantined": decision.quarantined,
        "labels/in": decision.labels_in,
        "labels/quarantined": decision.labels_quarantined,
        "memory/peak_mib": decision.peak_mib,
        **{f"candidate/{name}": value for name, value in decision.candidate.items()},
        **{f"champion/{name}": value for name, value in decision.champion.items()},
        **{f"seconds/{name}": value for name, value in decision.seconds.items()},
        **{f"cpu/{name}": value for name, value in decision.bill.items()},
        **{f"recipe_loss/{name}": value for name, value in decision.recipe_losses.items()},
        **{f"recipe_weight/{name}": value for name, value in weights_of(decision).items()},
        **{f"levelled_loss/{name}": value for name, value in decision.levelled_losses.items()},
        **{f"recipe_sharpness/{m.name}": m.sharpness for m in (lineage.members if lineage else ())},
        **({"mixture/temperature": lineage.temperature} if lineage and lineage.members else {}),
        **({"mixture/level": lineage.level[0]} if lineage and len(lineage.level) == 1 else {}),
        **{
            e.check.replace(".", "/", 1): e.measured
            for e in decision.evidence
            if e.check.startswith("gate.")
        },
        **{
            name: value
            for e in decision.evidence
            if e.check == ECONOMICS
            for name, value in (("economics/saving", e.measured), ("economics/cost", e.threshold))
        },
        **{
            f"search/{name}": e.details[name]
            for e in decision.evidence
            if e.check == SEARCH
            for name in ("racing", "tried", "adopted", "cells")
        },
    }
    return {k: float(v) for k, v in found.items() if v is not None and math.isfinite(v)}


def curve_metrics(decision: Decision) -> dict[str, float]:
    """What is drawn over windows: the same numbers whenever the same cycle is run again."""
    volatile = ("seconds/", "cpu/", "memory/")
    found = {k: v for k, v in run_metrics(decision).items() if not k.startswith(volatile)}
    served = decision.champion_after
    return found if served is None else {**found, "champion/version": float(served)}


def _facts(lineage: Lineage) -> dict[str, str]:
    facts = {
        "window": lineage.window,
        "recipe": str(lineage.recipe.get("name", "")),
        "rows": str(lineage.rows),
        "parent": "" if lineage.parent is None else str(lineage.parent),
        "accepted_version": str(lineage.accepted_version),
        "labels_version": str(lineage.labels_version),
        "data_digest": lineage.data_digest,
        "definition_digest": lineage.definition_digest,
        "code_digest": lineage.code_digest,
    }
    return {name: value for name, value in facts.items() if value}
