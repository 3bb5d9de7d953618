"""The shield around freshly labelled rows: compared, audited, entered into their source's account.

Labels are what completes a row, so this is where poison is decided: fresh labels are joined with
the rows they belong to and compared with the trusted rows of the same windows. What is only
suspicious is looked up in the source of record, where one is declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ratchet import ingest as core
from ratchet import validate as rules
from ratchet.contracts.columns import (
    KEY,
    LABEL,
    LABELS,
    SOURCE,
    labels_schema,
)
from ratchet.contracts.evidence import Evidence, Verdict, telling, worst
from ratchet.errors import ObjectError, Refused, StorageError
from tasks import accounts, quarantine, stragglers
from tasks.cycle import Cycle
from tasks.labelled import (
    Batch,
    by_window,
    gather,
    numbers,
    scored,
    seed_of,
    span_of,
    trusted_rows,
    window_indices,
    windows_before,
    windows_of_labels,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.clock import Window
    from ratchet.contracts.defence import Trusted


@dataclass(frozen=True, eq=False)
class Judged:
    """What the shield says of the fresh labels, or of late rows.

    Attributes:
        evidence: on the batch as a whole; where only some rows are bad, that is a WARN here.
        aside: what goes to quarantine: masks over the labels or rows, and the evidence they go
            there with; no two masks overlap.
    """

    evidence: list[Evidence] = field(default_factory=list)
    aside: list[tuple[NDArray[np.bool_], Evidence]] = field(default_factory=list)


def judge(cycle: Cycle, window: Window, fresh: pa.Table, *, waited: bool = False) -> Judged:
    """Judge the labels that became known in ``window`` with the rows they complete.

    Of labels that ``waited`` all are compared by key, and no account is told: that is done once a
    window.
    """
    import numpy as np
    import pyarrow as pa

    at, there = windows_of_labels(cycle, window, fresh)
    # Labels without a row must not outnumber the others: they are judged when their rows come.
    span = span_of(cycle, at[there] if there.any() else at)
    if span is None:
        return Judged()
    outside = there & (waited | (at < span[0]) | (at > span[1]))
    apart = stragglers.judge(cycle, window, fresh, outside)
    kept = np.flatnonzero(~apart.rejected)
    facts = None if waited else apart.facts
    main = Judged()
    if len(kept):
        main = _judge(cycle, window, fresh.take(pa.array(kept)), span, facts)
    aside = [] if apart.cause is None else [(apart.rejected, apart.cause)]
    for mask, cause in main.aside:
        whole = np.zeros(fresh.num_rows, dtype=bool)
        whole[kept[mask]] = True
        aside.append((whole, cause))
    return Judged([*main.evidence, *apart.evidence], aside)


def _judge(
    cycle: Cycle,
    window: Window,
    fresh: pa.Table,
    span: tuple[int, int],
    apart: Mapping[str, rules.Facts] | None,
) -> Judged:
    """Judge the batch of a span; with the facts of labels ``apart`` it is entered."""
    definition = cycle.workspace.definition
    batch = gather(cycle, window, fresh, span)
    if batch is None:
        return Judged()
    compared = rules.compare(
        batch.sample, batch.control, definition, history=batch.history, seed=batch.seed
    )
    evidence = list(compared.evidence)
    verdict = worst(e.verdict for e in evidence)
    if verdict is Verdict.BLOCK:
        blamed = rules.blame(batch.sample, batch.control, definition, seed=batch.seed)
        if blamed is not None:
            return _of_source(batch, fresh, evidence, blamed)
    if verdict.lets_through and definition.trusted is not None:
        back = _look_back(cycle, window, batch, span)
        if back is not None:
            evidence.append(back.evidence)
            verdict = worst((verdict, back.evidence.verdict))
            compared = back.point(compared)
    audit = None
    if compared.nominated and verdict.lets_through:
        text = f"suspicious: {compared.nominated}"
        evidence.append(Evidence("control.suspicion", Verdict.WARN, text))
        audit = _audit(cycle, batch.sample, compared, batch.seed)
    clean = rules.verdict(evidence).lets_through
    if audit is not None:
        clean &= audit.evidence.verdict.lets_through
    if apart is not None and clean:  # a blocked batch does no harm; the account is for the others
        facts = rules.merged(_facts(batch, compared, audit), apart)
        evidence += accounts.enter(cycle.workspace, window, facts)
    return _conclude(batch, fresh, evidence, audit)


def judge_late(cycle: Cycle, window: Window, rows: pa.Table) -> Judged:
    """Judge rows whose labels came before them, so that no order of delivery gets past the control.

    They are compared with the trusted rows of the same keys; too few of those for so many, and they
    wait for a person.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    workspace, definition = cycle.workspace, cycle.workspace.definition
    if definition.trusted is None or not rows.num_rows:
        return Judged()
    before = (None, window.index)
    labels = workspace.tables.read(LABELS, [KEY, LABEL], before, keys=rows[KEY])
    if not labels.num_rows:
        return Judged()
    where = pc.index_in(rows[KEY], value_set=labels[KEY].combine_chunks()).combine_chunks()
    late = np.asarray(where.is_valid())
    if not late.any():
        return Judged()
    mine = rows.filter(pa.array(late)).combine_chunks()
    values = numbers(labels[LABEL].combine_chunks().take(where.drop_null()))
    evidence = _beside(cycle, window, mine, values, definition.trusted)
    if rules.verdict(evidence).lets_through:
        return Judged([replace(e, check="control.late") for e in evidence[:1]])
    cause = min(evidence, key=telling)
    text = f"{len(mine):,} rows came after their labels: {cause.arithmetic}"
    said = Evidence("control.late", Verdict.WARN, f"{text}; quarantined alone", float(len(mine)))
    return Judged([said], [(late, replace(cause, check="control.late", arithmetic=text))])


def _beside(
    cycle: Cycle, window: Window, rows: pa.Table, labels: NDArray[np.float64], declared: Trusted
) -> list[Evidence]:
    """Late rows beside the trusted rows of their keys; where there are enough, by all tests."""
    import pyarrow as pa

    found = []
    at = window_indices(cycle, rows)
    control = trusted_rows(cycle, window, (int(at.min()), int(at.max())))
    if declared.keyed:
        labelled = rows.append_column(LABEL, pa.array(labels))
        found.append(stragglers.compare(cycle, window, labelled, rows[KEY]).evidence)
        control = control.filter(core.find_keys(control[KEY], rows[KEY])).combine_chunks()
        if not found[0].verdict.lets_through or control.num_rows < declared.min_rows:
            return found
    sample = scored(cycle, rows, labels)
    trusted = scored(cycle, control, numbers(control[LABEL])) if control.num_rows else None
    seed = seed_of(cycle, window, rows, control)
    return [*found, *rules.compare(sample, trusted, cycle.workspace.definition, seed=seed).evidence]


def judge_waiting(cycle: Cycle, window: Window) -> list[Evidence]:
    """Labels that waited for trusted rows are compared once those have come; clean ones go on."""
    workspace = cycle.workspace
    if workspace.definition.trusted is None:
        return []
    span = (window.index - rules.LOOK_BACK, window.index)
    found = []
    for entry, lines in quarantine.waiting(workspace, rules.NO_CONTROL, span).items():
        labels = core.rows_from_payload(
            lines, labels_schema(), known=window.start, window=window.index
        )
        judged = judge(cycle, window, labels, waited=True)
        verdict = rules.verdict(judged.evidence)
        if rules.NO_CONTROL in {cause.check for _, cause in judged.aside}:
            continue  # still nothing to compare with
        clean = verdict.lets_through and not judged.aside
        reason = "compared with the trusted rows that came later"
        said = "released" if clean else "it stays in quarantine"
        if clean:
            try:
                quarantine.release_by_rule(workspace, entry, lines, labels, reason)
            except Refused as refused:
                said = f"clean, but it stays in quarantine: {refused}"
        text = f"{entry}: {reason}: {said}"
        found.append(Evidence("control.waited", Verdict.WARN, text, float(labels.num_rows)))
    return found


def _conclude(
    batch: Batch, fresh: pa.Table, evidence: list[Evidence], audit: rules.Audit | None
) -> Judged:
    """Reject the whole batch, or just the rows that an audit confined the trouble to."""
    import numpy as np

    if audit is None:
        return _all_or_nothing(fresh, evidence)
    if audit.evidence.verdict is not Verdict.BLOCK or audit.rows.all():
        return _all_or_nothing(fresh, [*evidence, audit.evidence])
    keys = batch.sample.rows[KEY].filter(audit.rows)
    rejected = np.asarray(core.find_keys(fresh[KEY], keys))
    text = f"{audit.evidence.arithmetic}; all in {int(audit.rows.sum()):,} rows, quarantined alone"
    said = replace(audit.evidence, verdict=Verdict.WARN, arithmetic=text)
    return Judged([*evidence, said], [(rejected, audit.evidence)])


def _of_source(
    batch: Batch, fresh: pa.Table, evidence: list[Evidence], blamed: rules.Blame
) -> Judged:
    """Only what the blamed sources sent goes to quarantine; the rest was compared again."""
    import numpy as np

    names, count = ", ".join(blamed.sources), int(blamed.rows.sum())
    text = (
        f"{names}: {blamed.cause.arithmetic}; the rest of the batch passes without "
        f"(p = {blamed.rest.p_value:.3g}), so these {count:,} rows are quarantined alone"
    )
    cause = replace(blamed.cause, check="control.source", arithmetic=text)
    passed = [e for e in evidence if e.verdict.lets_through]
    keys = batch.sample.rows[KEY].filter(blamed.rows)
    rejected = np.asarray(core.find_keys(fresh[KEY], keys))
    return Judged([*passed, replace(cause, verdict=Verdict.WARN)], [(rejected, cause)])


def _all_or_nothing(fresh: pa.Table, evidence: list[Evidence]) -> Judged:
    import numpy as np

    if rules.verdict(evidence).lets_through:
        return Judged(evidence)
    cause = min(evidence, key=telling)
    return Judged(evidence, [(np.ones(fresh.num_rows, dtype=bool), cause)])


def _look_back(
    cycle: Cycle, window: Window, batch: Batch, span: tuple[int, int]
) -> rules.LookBack | None:
    before = windows_before(cycle, span)
    control = trusted_rows(cycle, window, before)
    batches = by_window(cycle, batch.before, before)
    controls = by_window(cycle, rules.Sample(control, numbers(control[LABEL])), before)
    if batch.control is None:
        return None
    return rules.look_back(
        [*batches, batch.sample],
        [*controls, batch.control],
        cycle.workspace.definition,
        seed=batch.seed,
    )


def _audit(
    cycle: Cycle, sample: rules.Sample, compared: rules.Comparison, seed: int
) -> rules.Audit | None:
    """Look rows up; None where the pipeline declares no source of record."""
    definition, source = cycle.workspace.definition, cycle.workspace.record
    if source is None or definition.record is None:
        return None
    picks = rules.choose(sample, compared, definition.record.lookups, seed)
    start, end = rules.audit_span(sample)
    try:
        found = core.parse_record(source.lookup(picks.keys), definition)
        drawn = source.sample(start, end, definition.record.lookups // 2, seed)
        reverse = core.parse_record(drawn, definition)
    except (StorageError, ObjectError) as error:
        return rules.unreachable(error, sample.rows.num_rows)
    return rules.judge_audit(picks, sample, found, reverse, definition)


def _facts(
    batch: Batch, compared: rules.Comparison, audit: rules.Audit | None
) -> dict[str, rules.Facts]:
    """What the window showed of each source: rows that were checked against the truth."""
    import numpy as np

    checked, differs = [compared.checked], [compared.differs]
    if audit is not None:
        checked, differs = [*checked, audit.checked], [*differs, audit.differs]
    p_value = compared.p_value if batch.control is not None else None
    sources = batch.sample.rows[SOURCE]
    return rules.facts_by_source(sources, np.concatenate(checked), np.concatenate(differs), p_value)
