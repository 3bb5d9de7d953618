"""The shield around freshly labelled rows: compared, audited, entered into their source's account.

Labels are what completes a row, so this is where poison is decided: fresh labels are joined with
the rows they belong to and compared with the trusted rows of the same windows. What is only
suspicious is looked up in the source of record, where one is declared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ratchet import ingest as core
from ratchet import validate as rules
from ratchet.contracts.bundle import predict
from ratchet.contracts.columns import (
    ACCEPTED,
    EVENT,
    KEY,
    KNOWN,
    LABEL,
    LABELS,
    OBJECT,
    SOURCE,
    TRUSTED,
    trusted_schema,
)
from ratchet.contracts.evidence import Evidence, Verdict, worst
from ratchet.contracts.metrics import spread
from ratchet.errors import ObjectError, StorageError
from tasks import accounts
from tasks.cycle import Cycle

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.clock import Window

MAIN = 0.2  # share of the fresh labels from which a window of events is compared
EARLIER = 4  # windows before it whose rows say how dense a cell usually is
SAMPLE = 5000  # of those


@dataclass(frozen=True, eq=False)
class Judged:
    """What the shield says of the fresh labels.

    Attributes:
        evidence: on the batch as a whole; where only some rows are bad, that is a WARN here.
        rejected: mask over the fresh labels of those that go to quarantine.
        cause: the evidence they go there with; None where none does.
    """

    evidence: list[Evidence] = field(default_factory=list)
    rejected: NDArray[np.bool_] | None = None
    cause: Evidence | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """The labelled rows of some windows of events, and the trusted rows of the same ones."""

    sample: rules.Sample
    control: rules.Sample | None
    history: rules.Sample | None
    seed: int


def judge(cycle: Cycle, window: Window, fresh: pa.Table, *, enter: bool = True) -> Judged:
    """Judge the labels that became known in ``window`` with the rows they complete.

    ``enter`` says whether the account of the source is told, once a window.
    """
    definition = cycle.workspace.definition
    span = _span(cycle, fresh)
    batch = _gather(cycle, window, fresh, span) if span else None
    if batch is None or span is None:
        return Judged()
    compared = rules.compare(
        batch.sample, batch.control, definition, history=batch.history, seed=batch.seed
    )
    evidence = list(compared.evidence)
    verdict = worst(e.verdict for e in evidence)
    suspicious, nominated = compared.suspicious, compared.nominated
    if verdict.lets_through and definition.trusted is not None:
        back = _look_back(cycle, window, batch, span)
        if back is not None:
            evidence.append(back.evidence)
            verdict = worst((verdict, back.evidence.verdict))
            if back.nominated:
                suspicious, nominated = back.suspicious[-1], nominated or back.nominated
    audit = None
    if nominated and verdict.lets_through:
        evidence.append(Evidence("control.suspicion", Verdict.WARN, f"suspicious: {nominated}"))
        audit = _audit(cycle, batch.sample, suspicious, batch.seed)
    clean = rules.verdict(evidence).lets_through
    if audit is not None:
        clean &= audit.evidence.verdict.lets_through
    if enter and clean:  # a blocked batch does no harm; the account is for what gets through
        evidence += accounts.enter(cycle.workspace, window, _facts(batch, compared, audit))
    return _conclude(batch, fresh, evidence, audit)


def judge_late(cycle: Cycle, window: Window, rows: pa.Table) -> Judged:
    """Judge rows whose labels came before them, so that no order of delivery gets past the control.

    They are compared with the trusted rows of the same keys; too few of those, and they wait for a
    person.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    workspace, definition = cycle.workspace, cycle.workspace.definition
    if definition.trusted is None or not rows.num_rows:
        return Judged()
    labels = workspace.tables.read(LABELS, [KEY, LABEL], (None, window.index))
    if not labels.num_rows:
        return Judged()
    where = pc.index_in(rows[KEY], value_set=labels[KEY].combine_chunks()).combine_chunks()
    late = np.asarray(where.is_valid())
    if not late.any():
        return Judged()
    mine = rows.filter(pa.array(late)).combine_chunks()
    values = _numbers(labels[LABEL].combine_chunks().take(where.drop_null()))
    span = _span(cycle, mine)
    control = _trusted(cycle, window, span) if span else mine.slice(0, 0)
    if definition.trusted.keyed:
        control = control.filter(core.find_keys(control[KEY], mine[KEY])).combine_chunks()
    champion = cycle.champion_bundle
    sample = rules.Sample(mine, values, predict(champion, mine) if champion else None)
    trusted = None
    if control.num_rows:
        scores = predict(champion, control) if champion else None
        trusted = rules.Sample(control, _numbers(control[LABEL]), scores)
    seed = seed_of(cycle, window, mine, control)
    evidence = list(rules.compare(sample, trusted, definition, seed=seed).evidence)
    if rules.verdict(evidence).lets_through:
        return Judged()
    cause = max(evidence, key=lambda e: e.verdict.severity)
    text = f"{len(mine):,} rows came after their labels: {cause.arithmetic}"
    said = Evidence("control.late", Verdict.WARN, f"{text}; quarantined alone", float(len(mine)))
    return Judged([said], late, replace(cause, check="control.late", arithmetic=text))


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
    return Judged([*evidence, said], rejected, audit.evidence)


def _all_or_nothing(fresh: pa.Table, evidence: list[Evidence]) -> Judged:
    import numpy as np

    if rules.verdict(evidence).lets_through:
        return Judged(evidence)
    cause = max(evidence, key=lambda e: e.verdict.severity)
    return Judged(evidence, np.ones(fresh.num_rows, dtype=bool), cause)


def _span(cycle: Cycle, fresh: pa.Table) -> tuple[int, int] | None:
    """First and last window of events that a good part of the fresh labels belong to."""
    import numpy as np

    calendar = cycle.workspace.calendar
    if not fresh.num_rows:
        return None
    events = (fresh[EVENT].to_numpy() - calendar.origin) // calendar.length
    found, counts = np.unique(events, return_counts=True)
    main = found[counts >= MAIN * fresh.num_rows]
    main = main if len(main) else found[np.argmax(counts)][None]
    return int(main.min()), int(main.max())


def _gather(cycle: Cycle, window: Window, fresh: pa.Table, span: tuple[int, int]) -> Batch | None:
    """The rows of the span with every label known by now, and what they are compared with."""
    rows, labels = _labelled(cycle, window, span, fresh)
    if not rows.num_rows:
        return None
    control = _trusted(cycle, window, span)
    champion = cycle.champion_bundle
    sample = rules.Sample(rows, labels, predict(champion, rows) if champion else None)
    trusted = None
    if control.num_rows:
        scores = predict(champion, control) if champion else None
        trusted = rules.Sample(control, _numbers(control[LABEL]), scores)
    return Batch(
        sample, trusted, _history(cycle, window, span), seed_of(cycle, window, rows, control)
    )


def _labelled(
    cycle: Cycle, window: Window, span: tuple[int, int], fresh: pa.Table | None
) -> tuple[pa.Table, NDArray[np.float64]]:
    """Accepted rows of a span of events that have a label or should have one, and their labels."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    workspace, definition = cycle.workspace, cycle.workspace.definition
    known = (span[0], window.index + 1)
    columns = [KEY, EVENT, SOURCE, OBJECT, *definition.features]
    rows = _within(cycle, workspace.tables.read(ACCEPTED, columns, known), span)
    if not rows.num_rows:
        return rows, np.empty(0)
    earlier = workspace.tables.read(LABELS, [KEY, LABEL], known)
    parts = [t.select([KEY, LABEL]) for t in (earlier, fresh) if t is not None and t.num_rows]
    if not parts:
        return rows.slice(0, 0), np.empty(0)
    every = pa.concat_tables(parts)
    where = pc.index_in(rows[KEY], value_set=every[KEY].combine_chunks())
    labels = _numbers(every[LABEL].combine_chunks().take(where.combine_chunks()))
    mature = rows[EVENT].to_numpy() < window.end - definition.label_delay
    keep = np.isfinite(labels) | mature
    return rows.filter(pa.array(keep)).combine_chunks(), labels[keep]


def _trusted(cycle: Cycle, window: Window, span: tuple[int, int]) -> pa.Table:
    """The trusted rows of a span of events that were known by the end of the window."""
    import pyarrow.compute as pc

    features = dict(cycle.workspace.definition.features)
    if cycle.workspace.definition.trusted is None:
        return trusted_schema(features).empty_table()
    known = (span[0], window.index + 1)
    rows = cycle.workspace.landing_tables.read(TRUSTED, windows=known)
    rows = _within(cycle, rows, span)
    if not rows.num_rows:
        return trusted_schema(features).empty_table()
    return rows.filter(pc.less(rows[KNOWN], window.end)).combine_chunks()


def _within(cycle: Cycle, rows: pa.Table, span: tuple[int, int]) -> pa.Table:
    import pyarrow.compute as pc

    if not rows.num_rows:
        return rows
    calendar = cycle.workspace.calendar
    start, end = calendar.window(span[0]).start, calendar.window(span[1]).end
    inside = pc.and_(pc.greater_equal(rows[EVENT], start), pc.less(rows[EVENT], end))
    return rows.filter(inside).combine_chunks()


def _history(cycle: Cycle, window: Window, span: tuple[int, int]) -> rules.Sample | None:
    """A sample of what was learned from in the windows before."""
    import pyarrow as pa

    before = (span[0] - EARLIER, span[0] - 1)
    rows, labels = _labelled(cycle, window, before, None)
    if not rows.num_rows:
        return None
    chosen = spread(rows.num_rows, SAMPLE)
    rows, labels = rows.take(pa.array(chosen)), labels[chosen]
    champion = cycle.champion_bundle
    return rules.Sample(rows, labels, predict(champion, rows) if champion else None)


def _look_back(
    cycle: Cycle, window: Window, batch: Batch, span: tuple[int, int]
) -> rules.LookBack | None:
    batches, controls = [], []
    for index in range(span[0] - rules.LOOK_BACK + 1, span[0]):
        rows, labels = _labelled(cycle, window, (index, index), None)
        control = _trusted(cycle, window, (index, index))
        batches.append(rules.Sample(rows, labels))
        controls.append(rules.Sample(control, _numbers(control[LABEL])))
    if batch.control is None:
        return None
    return rules.look_back(
        [*batches, batch.sample],
        [*controls, batch.control],
        cycle.workspace.definition,
        seed=batch.seed,
    )


def _audit(
    cycle: Cycle, sample: rules.Sample, suspicious: NDArray[np.bool_], seed: int
) -> rules.Audit | None:
    """Look rows up; None where the pipeline declares no source of record."""
    definition, source = cycle.workspace.definition, cycle.workspace.record
    if source is None or definition.record is None:
        return None
    picks = rules.choose(sample, suspicious, definition.record.lookups, seed)
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


def seed_of(cycle: Cycle, window: Window, *tables: pa.Table) -> int:
    """From what no single sender knows beforehand: the contents of every object concerned."""
    import pyarrow.compute as pc

    state = hashlib.sha256(f"{cycle.workspace.name}/{window.index}".encode())
    for table in tables:
        for digest in sorted(pc.unique(table[OBJECT]).to_pylist()):
            state.update(digest.encode())
    return int.from_bytes(state.digest()[:4], "big") >> 1


def _numbers(column: Any) -> NDArray[np.float64]:
    import numpy as np
    import pyarrow.compute as pc

    filled = pc.fill_null(column, float("nan"))
    return np.asarray(filled.to_numpy(zero_copy_only=False), dtype=np.float64)
