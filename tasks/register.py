"""register: what exactly is this model, and who is champion now?

A promotion is two entries in the decisions table around one alias move: ``intent`` names the
version, which was downloaded, verified and asked to predict before; ``done`` says that the alias
moved. What a crash leaves between them is completed or undone by :mod:`tasks.recover`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import register as core
from ratchet.contracts.columns import ACCEPTED, DECISIONS, INCIDENTS, LABELS
from ratchet.contracts.evidence import Evidence, Verdict, telling
from ratchet.contracts.lineage import Decision
from ratchet.contracts.seams import Append, ModelVersion, Tables
from ratchet.errors import ModelError
from ratchet.validate import checks_page
from tasks import observe, show
from tasks.cycle import Cycle, peak_mib

if TYPE_CHECKING:
    from ratchet.contracts.bundle import Bundle

REPORT_HTML, REPORT_JSON = core.PAGES["drift"], "drift/report.json"
CHECKS_HTML, DECISION_HTML = core.PAGES["checks"], core.PAGES["decision"]
_PAGES = {"decision": "The decision's page", "drift": "Drift report", "checks": "Data checks"}
CHAMPION, CHALLENGER = "champion", "challenger"


@task(name="register", cache_policy=NO_CACHE, persist_result=False)
def register(cycle: Cycle) -> None:
    """Write the MLflow run, perhaps a version and the alias, and the decision."""
    registry = cycle.workspace.registry
    started = time.perf_counter()
    decision = conclude(cycle)
    run_id = registry.open_run(decision.pipeline, cycle.key, f"{decision.pipeline} {cycle.label}")
    decision = replace(decision, run_id=run_id, links=_links(cycle, run_id))
    version = None
    if decision.outcome == "promoted":
        decision, version = _create_version(cycle, decision)
    so_far = {**cycle.seconds, "register": round(time.perf_counter() - started, 4)}
    decision = replace(decision, seconds=so_far, bill=cycle.spent(), peak_mib=peak_mib())
    decision, page = _draw(cycle, decision)
    _log(cycle, decision, page)
    at = decision.as_of // 1000 if cycle.workspace.calendar.clock.kind == "timestamp" else 0
    registry.chart(decision.pipeline, cycle.window.index, at, core.curve_metrics(decision))
    if version is not None:
        write(cycle.workspace.tables, decision, "intent")
        cycle.workspace.lease.check()
        registry.set_alias(decision.pipeline, CHAMPION, version.version)
    write(cycle.workspace.tables, decision, "done")
    if version is not None:
        registry.set_alias(decision.pipeline, CHALLENGER, None)
    registry.close_run(run_id, ok=decision.outcome != "error")
    cycle.decision = decision
    _show(cycle, decision)


def _links(cycle: Cycle, run_id: str) -> dict[str, str]:
    """Where a person finds the run, and each page that lies in it."""
    page = cycle.workspace.registry.page
    drawn = {"drift": cycle.report, "checks": cycle.data_evidence}
    pages = {name: page(run_id, core.PAGES[name]) for name, there in drawn.items() if there}
    return {"mlflow": page(run_id), **pages}


def conclude(cycle: Cycle) -> Decision:
    """What this cycle concludes from its evidence, before anything is written."""
    champion = cycle.champion.version if cycle.champion else None
    outcome, reasons = core.decide(
        data=cycle.data_evidence,
        gate=cycle.gate_evidence,
        rows_in=cycle.rows_in,
        no_candidate=cycle.no_candidate,
    )
    bundle = cycle.candidates.get(cycle.chosen or "")
    return Decision(
        pipeline=cycle.workspace.name,
        window=cycle.label,
        window_index=cycle.window.index,
        as_of=cycle.window.end,
        cycle_key=cycle.key,
        definition_digest=cycle.workspace.digest,
        outcome=outcome,
        reasons=tuple(reasons),
        evidence=(*cycle.data_evidence, *cycle.gate_evidence),
        rows_in=cycle.rows_in,
        accepted=cycle.accepted,
        quarantined=cycle.quarantined,
        labels_in=cycle.labels_in,
        labels_quarantined=cycle.labels_quarantined,
        drift=cycle.drift,
        recipe=cycle.chosen,
        recipe_losses=cycle.recipe_losses,
        levelled_losses=cycle.levelled_losses,
        sharpness_losses=cycle.sharpness_losses,
        member_sharpness=cycle.member_sharpness,
        share_losses=cycle.share_losses,
        level=cycle.level,
        candidate=cycle.candidate_metrics,
        champion=cycle.champion_metrics,
        champion_before=champion,
        champion_after=champion,
        lineage=bundle.manifest.lineage if bundle else None,
        sources=core.largest_sources(cycle.sources),
        ledger=cycle.ledger,
    )


def _create_version(cycle: Cycle, decision: Decision) -> tuple[Decision, ModelVersion | None]:
    registry, bundle = cycle.workspace.registry, cycle.candidates[cycle.chosen or ""]
    assert decision.run_id is not None  # noqa: S101  opened just before
    version = registry.create_version(
        decision.pipeline,
        # With the digest: code that was mended between a crash and the next attempt makes another
        # model, and that must not be mistaken for the one the crash left behind.
        f"{decision.cycle_key}/{bundle.digest[:16]}",
        decision.run_id,
        bundle,
        core.version_tags(bundle, decision),
        core.describe(decision),
    )
    registry.set_alias(decision.pipeline, CHALLENGER, version.version)
    proof = prove_loadable(cycle, version, bundle)
    decision = replace(decision, evidence=(*decision.evidence, proof))
    if not proof.verdict.lets_through:
        return replace(decision, outcome="error", reasons=(proof.arithmetic,)), None
    decision = replace(decision, champion_after=version.version)
    registry.describe(decision.pipeline, version.version, core.describe(decision), {})
    return decision, version


def prove_loadable(cycle: Cycle, version: ModelVersion, bundle: Bundle) -> Evidence:
    """Download the version, check every digest, and let it predict in a process of its own."""
    from ratchet.adapters.sandbox import predict_in_child
    from ratchet.contracts.score import predict

    registry, name = cycle.workspace.registry, cycle.workspace.name
    try:
        rows = cycle.judged_rows().slice(0, 200)
        stored = registry.load(name, version.version)
        scores = predict_in_child(stored, rows)
    except ModelError as error:
        return Evidence("register.loadable", Verdict.ERROR, f"version {version.version}: {error}")
    return core.same_scores(predict(bundle, rows), scores, version.version)


def write(
    tables: Tables,
    decision: Decision,
    phase: core.Phase,
    *,
    kind: core.Kind = "cycle",
    by: str = "ratchet",
) -> None:
    """Add a decision to the table; the same phase of the same decision only once."""
    now = datetime.now(UTC)
    txn = f"{kind}/{decision.cycle_key}/{phase}"
    rows = core.decision_row(decision, phase=phase, kind=kind, by=by, at=now)
    if phase == "done" and decision.outcome in ("blocked", "error"):
        tables.append(Append(INCIDENTS, core.incident_row(decision, at=now), txn))
    tables.append(Append(DECISIONS, rows, txn))


def _log(cycle: Cycle, decision: Decision, page: Mapping[str, bytes]) -> None:
    assert decision.run_id is not None  # noqa: S101
    text = core.describe(decision)
    artifacts = {
        "decision.json": json.dumps(decision.as_json(), indent=2).encode(),
        "decision.md": text.encode(),
        **page,
    }
    if cycle.data_evidence:
        title = f"{decision.pipeline} {decision.window}"
        artifacts[CHECKS_HTML] = checks_page(title, cycle.data_evidence).encode()
    if cycle.report:
        artifacts[REPORT_HTML] = cycle.report.html.encode()
        artifacts[REPORT_JSON] = cycle.report.json.encode()
    cycle.workspace.registry.log(
        decision.run_id,
        step=decision.window_index,
        metrics=core.run_metrics(decision),
        params=core.run_params(decision),
        tags={"mlflow.note.content": text, "ratchet.outcome": decision.outcome},
        artifacts=artifacts,
        datasets=_datasets(cycle, decision),
    )


def _draw(cycle: Cycle, decision: Decision) -> tuple[Decision, dict[str, bytes]]:
    """The decision with the link to its page, and the page as an artifact.

    Neither where it cannot be drawn: a picture decides nothing, so it must not cost a decision.
    """
    assert decision.run_id is not None  # noqa: S101
    try:
        page = core.decision_page(decision, cycle.history).encode()
    except Exception as error:
        show.log(f"the decision's page could not be drawn: {error!r}")
        return decision, {}
    link = cycle.workspace.registry.page(decision.run_id, DECISION_HTML)
    return replace(decision, links={**decision.links, "decision": link}), {DECISION_HTML: page}


def _datasets(cycle: Cycle, decision: Decision) -> list[tuple[str, str, str, str]]:
    if decision.lineage is None:
        return []
    root = cycle.workspace.settings.root_of(decision.pipeline)
    lineage = decision.lineage
    accepted = f"{root}/{ACCEPTED}@{lineage.accepted_version}"
    labels = f"{root}/{LABELS}@{lineage.labels_version}"
    return [
        ("training set", lineage.data_digest, accepted, "training"),
        ("labels", lineage.data_digest, labels, "labels"),
    ]


def _show(cycle: Cycle, decision: Decision) -> None:
    run = decision.links["mlflow"]
    where = f"\n\n### Where\n\nMLflow run: {run}"
    if cycle.data_evidence:
        where += f"\n\nData checks: artifact `{CHECKS_HTML}` of that run"
    if cycle.report:
        where += f"\n\nDrift report: artifact `{REPORT_HTML}` of that run"
    show.markdown(cycle, "decision", core.describe(decision) + where)
    checks = [
        {"check": e.check, "verdict": e.verdict.value, "arithmetic": e.arithmetic}
        for e in sorted(decision.evidence, key=telling)
    ]
    show.table(cycle, "checks", checks, f"Every check of {cycle.label}: {decision.outcome}")
    if run.startswith("http"):
        show.link(cycle, "mlflow", run, "MLflow run")
    for name, text in _PAGES.items():
        if (page := decision.links.get(name, "")).startswith("http"):
            show.link(cycle, f"{name}-page", page, text)
    observe.decided(decision)
