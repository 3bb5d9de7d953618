"""validate: which rows may be learned from?

Rows that fail a rule go to quarantine with the rule's evidence, and the rest goes on. A batch that
fails as a whole goes to quarantine whole. Labels are judged apart, because they arrive apart.
Windows that no cycle ran for are judged too, each by itself, so that a missed run loses no data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from prefect import task
from prefect.cache_policies import NO_CACHE

from ratchet import ingest as core
from ratchet import validate as rules
from ratchet.contracts.columns import (
    ACCEPTED,
    LABEL,
    LABELS,
    LANDED,
    LANDED_LABELS,
    SOURCE,
    rows_schema,
)
from ratchet.contracts.evidence import Evidence, Verdict, telling
from ratchet.contracts.lineage import held_back
from ratchet.contracts.score import predict, unseen
from ratchet.contracts.seams import Append
from tasks import accounts, shield, show
from tasks.arrivals import (
    count_refused_at_landing,
    count_sources,
    earlier,
    of_revoked,
    part_of,
    put_away,
    set_aside,
    txn,
    windows_before,
    windows_of,
    without_revoked,
)
from tasks.cycle import Cycle
from tasks.decisions import last_decided
from tasks.drift import reference_of
from tasks.labelled import rows_of_labels, seed_of
from tasks.moved import reconsider

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.clock import Window


@task(name="validate", cache_policy=NO_CACHE, persist_result=False)
def validate(cycle: Cycle) -> None:
    """Judge what became known since the last cycle; write it where it belongs."""
    last = last_decided(cycle.workspace)
    since = None if last is None else last + 1
    tables = cycle.workspace.landing_tables
    span = (since, cycle.window.index + 1)
    rows = tables.read(LANDED, windows=span)
    if not rows.num_rows:
        rows = rows_schema(cycle.workspace.definition.features).empty_table()
    labels = tables.read(LANDED_LABELS, windows=span)
    for window in windows_of(cycle, rows, labels):
        current = window == cycle.window
        if current:
            count_sources(cycle, "rows", part_of(rows, window))
            count_sources(cycle, "labels", part_of(labels, window))
        evidence = judge_rows(cycle, window, part_of(rows, window))
        evidence += judge_labels(cycle, window, part_of(labels, window))
        if current:
            evidence += shield.judge_waiting(cycle, window)
            cycle.data_evidence = [*evidence, *_said(cycle, evidence)]
    cycle.data_evidence += [*count_refused_at_landing(cycle, span), *set_aside(cycle)]
    out = held_back(cycle.quarantined, cycle.labels_quarantined)
    show.log(f"{cycle.label}: {cycle.accepted:,} rows accepted, {out} quarantined")


def _said(cycle: Cycle, evidence: Sequence[Evidence]) -> list[Evidence]:
    """That the shield is degraded, where no comparison has said so: no labels, or blocked ones."""
    alone = cycle.workspace.definition.trusted is None
    told = any(e.check == rules.degraded().check for e in evidence)
    return [rules.degraded()] if alone and not told else []


def judge_rows(cycle: Cycle, window: Window, rows: pa.Table) -> list[Evidence]:
    """Judge the rows of one window and write them where they belong."""
    workspace, definition = cycle.workspace, cycle.workspace.definition
    rows, refused = without_revoked(cycle, window, rows, "row")
    batch, conflicting, copies = core.dedupe(rows, earlier(cycle, ACCEPTED, rows))
    judged = rules.judge_rows(
        workspace.suites.run(workspace.suite, rules.suite_frame(batch, definition)),
        batch.num_rows,
        definition,
    )
    kept = batch.filter(~judged.rejected)
    quota = _quota(cycle, window, kept)
    over = kept.filter(quota.over)
    kept = kept.filter(~quota.over)
    late = shield.judge_late(cycle, window, kept)
    kept, unproven = _set_aside(kept, late, "row")
    evidence = [
        *judged.evidence,
        *of_revoked(refused, "row"),
        *_repeated(copies, "rows"),
        *_columns(cycle, window, kept),
        quota.evidence,
    ]
    evidence += late.evidence
    verdict = rules.verdict(evidence)
    if window == cycle.window:
        cycle.rows_in = rows.num_rows + len(refused)
        cycle.batch = kept if verdict.lets_through else kept.slice(0, 0)
    rejects = [*refused, *conflicting]
    by_check = {e.check: e for e in evidence}
    if verdict.lets_through:
        workspace.tables.append(Append(ACCEPTED, kept, txn(window, "accepted")))
        blocked = batch.filter(judged.rejected)
        causes = [judged.cause(i) for i in judged.rejected.nonzero()[0].tolist()]
        for check in dict.fromkeys(c.check for c in causes):
            mine = [c.check == check for c in causes]
            rejects += core.reject_rows(
                blocked.filter(mine), "row", check, by_check[check].arithmetic
            )
        rejects += core.reject_rows(over, "row", quota.evidence.check, quota.evidence.arithmetic)
        rejects += unproven
    elif batch.num_rows:
        worst = min(evidence, key=telling)
        rejects += core.reject_rows(batch, "batch", worst.check, worst.arithmetic)
    put_away(cycle, window, rejects, by_check, "rows")
    if window == cycle.window:
        cycle.accepted = kept.num_rows if verdict.lets_through else 0
        cycle.quarantined = len(rejects)
    return evidence


def _quota(cycle: Cycle, window: Window, rows: pa.Table) -> rules.Quota:
    """The rows that are over what their source may give."""
    sources = [s for s in rows[SOURCE].unique().to_pylist() if s is not None]
    trust = accounts.trust(cycle.workspace, sources, window.index) if len(sources) > 1 else {}
    seed = seed_of(cycle, window, rows)
    return rules.check_quota(rows, cycle.workspace.definition, trust, seed)


def judge_labels(cycle: Cycle, window: Window, labels: pa.Table) -> list[Evidence]:
    """Judge the labels that became known in one window and write them where they belong."""
    if not labels.num_rows:
        return []
    workspace, definition = cycle.workspace, cycle.workspace.definition
    labels, refused = without_revoked(cycle, window, labels, "label")
    fresh, conflicting, copies = core.dedupe(labels, earlier(cycle, LABELS, labels))
    evidence = [
        *rules.check_labels(
            fresh,
            definition,
            scores=_champion_scores(cycle, fresh),
            expected_skill=rules.expected_skill(
                cycle.champion.version if cycle.champion else None, cycle.history, definition.label
            ),
            before=_labels_before(cycle, window, fresh),
        ),
        *of_revoked(refused, "label"),
        *_repeated(copies, "labels"),
    ]
    evidence = reconsider(cycle, window, fresh, evidence)
    shielded = shield.Judged()
    if rules.verdict(evidence).lets_through:  # else there is nothing left to shield
        shielded = shield.judge(cycle, window, fresh)
        evidence += shielded.evidence
    good, bad = _set_aside(fresh, shielded, "label")
    rejects = [*refused, *conflicting, *bad]
    if good.num_rows and not rules.verdict(evidence).lets_through:
        worst = min(evidence, key=telling)
        rejects += core.reject_rows(good, "label", worst.check, worst.arithmetic)
        good = fresh.slice(0, 0)
    if good.num_rows:
        workspace.tables.append(Append(LABELS, good, txn(window, "labels")))
    put_away(cycle, window, rejects, {e.check: e for e in evidence}, "labels")
    if window == cycle.window:
        cycle.labels_in = labels.num_rows + len(refused)
        cycle.labels_quarantined = len(rejects)
    return evidence


def _set_aside(
    table: pa.Table, judged: shield.Judged, kind: Literal["row", "label"]
) -> tuple[pa.Table, list[core.RowReject]]:
    """What is left of rows or labels, and what the shield sets aside of them."""
    import numpy as np

    left = np.ones(table.num_rows, dtype=bool)
    rejects: list[core.RowReject] = []
    for mask, cause in judged.aside:
        rejects += core.reject_rows(table.filter(mask), kind, cause.check, cause.arithmetic)
        left &= ~mask
    return table.filter(left), rejects


def _columns(cycle: Cycle, window: Window, rows: pa.Table) -> list[Evidence]:
    definition, champion = cycle.workspace.definition, cycle.champion_bundle
    reference = reference_of(champion.reference) if champion else None
    risen = rules.risen_columns(rows, definition, reference)
    before = windows_before(cycle, window, rows, ACCEPTED, risen) if risen else []
    found = rules.check_columns(rows, definition, reference, before)
    if rows.num_rows and found[0].verdict.lets_through:
        constant = rules.constant_columns(rows, definition.features)
        before = windows_before(cycle, window, rows, ACCEPTED, constant) if constant else []
        found.append(rules.check_stuck(rows, before, definition))
        found.append(_duplicates(cycle, window, rows))
    if champion and champion.without:
        named = ", ".join(sorted(champion.without))
        text = f"the champion learned from {named}, declared no more: judged as if no row had it"
        found.append(Evidence("columns.withdrawn", Verdict.WARN, text))
    if champion and rows.num_rows:
        counts = unseen(rows, champion)
        limit = definition.validate_.max_unseen_share
        found.append(rules.check_unseen(counts, rows.num_rows, limit))
    return found


def _duplicates(cycle: Cycle, window: Window, rows: pa.Table) -> Evidence:
    """Copies under new keys; where rows are alike by nature, the last window mostly says so."""
    definition = cycle.workspace.definition
    before: list[pa.Table] = []
    copies = rules.duplicated(rows, definition)
    for most in (1, rules.BEFORE):
        if rules.stand_out(copies, rows, before, definition):
            features = list(definition.features)
            before = windows_before(cycle, window, rows, ACCEPTED, features, most)
    return rules.check_duplicates(copies, rows, before, definition)


def _labels_before(cycle: Cycle, window: Window, fresh: pa.Table) -> list[Any]:
    """Earlier windows' labels, read only where these lack a class."""
    definition = cycle.workspace.definition
    if not fresh.num_rows or not rules.lacks_class(fresh[LABEL].to_numpy(), definition):
        return []
    found = windows_before(cycle, window, fresh, LABELS, [LABEL])
    return [table[LABEL].to_numpy() for table in found]


def _repeated(copies: int, what: str) -> list[Evidence]:
    if not copies:
        return []
    text = f"{copies:,} copies of {what} that were there before were dropped"
    return [Evidence(f"{what}.copies", Verdict.WARN, text, float(copies), 0.0)]


def _champion_scores(cycle: Cycle, labels: pa.Table) -> Any:
    """The champion's scores of the labelled rows, in order; NaN where a row was not accepted."""
    import numpy as np

    if cycle.witness is None:
        return None
    features = list(cycle.workspace.definition.features)
    rows, known = rows_of_labels(cycle, cycle.window, labels, features)
    if not rows.num_rows:
        return None
    scores = predict(cycle.witness, rows)
    out = np.full((labels.num_rows, *scores.shape[1:]), np.nan)
    out[known] = scores
    return out
