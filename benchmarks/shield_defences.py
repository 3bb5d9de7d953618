"""Ours and the peers: each says whether it would keep a batch out of training.

>>> verdicts = ours(case)                                               # doctest: +SKIP
>>> verdicts["control"], verdicts["with audit"]                         # doctest: +SKIP
(False, True)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.shield_streams import Model, Stream
from ratchet import validate as rules
from ratchet.contracts.columns import KEY, LABEL
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.metrics import auc, row_losses

AUDITED = 100


@dataclass(frozen=True, eq=False)
class Case:
    """One window as it arrived, and all that a defence may look at.

    ``batches`` and ``controls`` are the windows before it that were delivered the same way (for
    attacks that last), oldest first; ``truth`` is what a source of record would answer.
    """

    stream: Stream
    batch: pa.Table
    control: pa.Table
    truth: pa.Table
    before: pa.Table  # the clean window before
    history: pa.Table  # a sample of earlier clean rows
    champion: Model
    skill: float
    seed: int
    batches: tuple[pa.Table, ...] = ()
    controls: tuple[pa.Table, ...] = ()
    earlier: tuple[pa.Table, ...] = ()  # clean windows that were learned from, oldest first


@dataclass
class Meter:
    """CPU seconds and rows by defence."""

    seconds: dict[str, float] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def time(self, name: str, rows: int) -> Iterator[None]:
        """Add what runs inside to a defence's bill."""
        started = time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - started
        self.rows[name] = self.rows.get(name, 0) + rows

    def per_10k(self, name: str) -> float:
        """CPU seconds for 10,000 rows."""
        return 1e4 * self.seconds[name] / max(self.rows[name], 1)


def ours(case: Case, meter: Meter) -> tuple[dict[str, bool], list[str]]:
    """Whether each stage of the shield blocks: hard checks, control, and so on, cumulatively."""
    rows = case.batch.num_rows
    with meter.time("hard checks", rows):
        hard, said = _hard(case)
    with meter.time("control", rows):
        keyed = _compare(case, keyed=True)
        back = _look_back(case)
    with meter.time("control without keys", rows):
        unkeyed = _compare(case, keyed=False)
    blocked = _blocks(keyed.evidence)
    said += [e.check for e in keyed.evidence if e.verdict is Verdict.BLOCK]
    if back is not None:
        blocked |= back.evidence.verdict is Verdict.BLOCK
        said += ["control.lookback"] if back.evidence.verdict is Verdict.BLOCK else []
        keyed = back.point(keyed)
    dirty = False
    if keyed.nominated and not (hard or blocked):
        with meter.time("audit", rows):
            dirty = _audit(case, keyed)
    return {
        "hard checks": hard,
        "control, no keys": hard or _blocks(unkeyed.evidence),
        "control": hard or blocked,
        "control + audit": hard or blocked or dirty,
        "nominated": bool(keyed.nominated),
    }, said


def _blocks(evidence: Any) -> bool:
    return not rules.verdict(evidence).lets_through


def _sample(case: Case, rows: pa.Table, scored: bool = True) -> rules.Sample:
    labels = np.array(rows[LABEL].to_numpy(zero_copy_only=False), dtype=float)
    return rules.Sample(rows, labels, case.champion.scores(rows) if scored else None)


def _compare(case: Case, keyed: bool) -> rules.Comparison:
    trusted = case.stream.definition.trusted
    assert trusted is not None
    definition = case.stream.definition.model_copy(
        update={"trusted": trusted.model_copy(update={"keyed": keyed})}
    )
    return rules.compare(
        _sample(case, case.batch),
        _sample(case, case.control),
        definition,
        history=_sample(case, case.history),
        seed=case.seed,
    )


def _look_back(case: Case) -> rules.LookBack | None:
    if not case.batches:
        return None
    return rules.look_back(
        [_sample(case, b, scored=False) for b in (*case.batches, case.batch)],
        [_sample(case, c, scored=False) for c in (*case.controls, case.control)],
        case.stream.definition,
        seed=case.seed,
    )


def _audit(case: Case, compared: rules.Comparison) -> bool:
    sample = _sample(case, case.batch)
    picks = rules.choose(sample, compared, AUDITED, case.seed)
    found = case.truth.filter(pc.is_in(case.truth[KEY], value_set=pa.array(picks.keys)))
    rng = np.random.default_rng(case.seed)
    drawn = np.sort(rng.choice(case.truth.num_rows, AUDITED // 2, replace=False))
    audit = rules.judge_audit(
        picks, sample, found, case.truth.take(pa.array(drawn)), case.stream.definition
    )
    return not audit.evidence.verdict.lets_through


def _hard(case: Case) -> tuple[bool, list[str]]:
    definition = case.stream.definition
    evidence = rules.check_columns(case.batch, definition, case.history, case.earlier)
    evidence.append(rules.check_stuck(case.batch, case.earlier, definition))
    copies = rules.duplicated(case.batch, definition)
    evidence.append(rules.check_duplicates(copies, case.batch, case.earlier, definition))
    evidence += _suite(case.stream, case.batch)
    evidence += rules.check_labels(
        case.batch,
        definition,
        scores=case.champion.scores(case.batch),
        expected_skill=case.skill,
        before=[table[LABEL].to_numpy() for table in case.earlier],
    )
    bad = [e.check for e in evidence if not e.verdict.lets_through]
    return bool(bad), bad[:2]


@lru_cache(maxsize=1)
def _runner() -> Any:
    from ratchet.adapters.expectations import GreatExpectations

    return GreatExpectations()


def _suite(stream: Stream, rows: pa.Table) -> list[Any]:
    if stream.suite is None:
        return []
    results = _runner().run(stream.suite, rules.suite_frame(rows, stream.definition))
    return list(rules.judge_rows(results, rows.num_rows, stream.definition).evidence)


def great_expectations(case: Case) -> bool:
    """A sensible suite alone."""
    return case.stream.suite is not None and _blocks(_suite(case.stream, case.batch))


def evidently(case: Case) -> dict[str, bool]:
    """Evidently's data drift preset against the window before: half of the columns, or any."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    kinds = case.stream.definition.features
    columns = [*kinds, LABEL]
    numbers = [n for n, k in kinds.items() if k == "number"]
    described = DataDefinition(
        numerical_columns=numbers,
        categorical_columns=[n for n, k in kinds.items() if k == "category"] + [LABEL],
    )
    frames = [t.select(columns).to_pandas() for t in (case.batch, case.before)]
    data = [Dataset.from_pandas(f.astype({LABEL: str}), data_definition=described) for f in frames]
    metrics = Report([DataDriftPreset()]).run(data[0], data[1]).dict()["metrics"]
    share = next(m["value"]["share"] for m in metrics if "DriftedColumnsCount" in m["metric_name"])
    return {"Evidently, half": share >= 0.5, "Evidently, any": share > 0}


def negative_impact(case: Case, trained: pa.Table) -> bool:
    """RONI (Nelson et al. 2008): does training with the batch worsen the last clean window?"""
    base = case.stream.train(trained)
    with_it = case.stream.train(
        pa.concat_tables([trained, case.batch.select(trained.column_names)])
    )
    y = case.before[LABEL].to_numpy()
    one, two = (row_losses("binary", y, m.scores(case.before)) for m in (base, with_it))
    gain = two - one
    return bool(gain.mean() > 2.33 * gain.std() / np.sqrt(len(gain)))


def cleanlab(case: Case) -> bool:
    """cleanlab's label scan: far more issues than in the clean window before?"""
    from cleanlab.filter import find_label_issues

    shares = []
    for rows in (case.batch, case.before):
        scores = case.champion.scores(rows)
        issues = find_label_issues(
            rows[LABEL].to_numpy().astype(int), np.column_stack([1 - scores, scores]), n_jobs=1
        )
        shares.append((issues.mean(), len(issues)))
    (p, n), (q, m) = shares
    error = np.sqrt(max(p * (1 - p) / n + q * (1 - q) / m, 1e-9))
    return bool((p - q) / error > 3.09)


def skill_of(model: Model, rows: pa.Table) -> float:
    """2 AUC - 1 of a model on clean rows."""
    return 2 * auc(rows[LABEL].to_numpy(), model.scores(rows)).value - 1


PEERS: dict[str, Callable[[Case], bool]] = {
    "GX suite": great_expectations,
    "cleanlab": cleanlab,
}
