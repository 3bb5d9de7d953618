"""Faults in what is learned from: no candidate, or a gate that does not let it through."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ratchet import self_train
from ratchet.contracts.bundle import Bundle
from ratchet.contracts.columns import EVENT, KEY, KNOWN, LABEL
from ratchet.contracts.definition import Definition
from ratchet.contracts.evidence import Evidence, Verdict, worst
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import predict, unseen
from ratchet.errors import NoCandidate
from ratchet.gate import GateInput, judge
from tests.learning import candidate, definition, labels_of, prepare, stream


def judged(
    pipeline: Definition,
    rows: pa.Table,
    labels: pa.Table,
    challenger: Bundle,
    champion: Bundle | None = None,
    as_of: int = 1000,
) -> dict[str, Evidence]:
    """The gate's evidence on the holdout as-of a time."""
    labelled = self_train.join_labels(pipeline, rows, labels, as_of)
    cut = self_train.split(pipeline, as_of, labelled.events)
    held, y = labelled.between(cut.holdout_from, cut.holdout_before)
    request = GateInput(
        y=y,
        events=held[EVENT].to_numpy(),
        candidate=predict(challenger, held),
        champion=predict(champion, held) if champion else None,
        baseline=0.5,
        mature_rows=labelled.mature_rows(cut.holdout_from, cut.holdout_before),
        overlap=self_train.overlap(labelled, cut),
        holdout_from=cut.holdout_from,
        champion_trained_before=champion.manifest.lineage.train_before if champion else None,
    )
    return {e.check: e for e in judge(request, pipeline).evidence}


def replaced(rows: pa.Table, column: str, values: object) -> pa.Table:
    return rows.set_column(rows.column_names.index(column), column, pa.array(values))


def test_fault_05_empty_batch_trains_nothing() -> None:
    rows, y = stream(rows=400)
    pipeline = definition()
    with pytest.raises(NoCandidate, match="no accepted row"):
        prepare(pipeline, rows.slice(0, 0), labels_of(rows, y), 1000)
    with pytest.raises(NoCandidate, match="no accepted row"):
        prepare(pipeline, rows, labels_of(rows, y).slice(0, 0), 1000)
    with pytest.raises(NoCandidate, match="held out"):
        prepare(
            pipeline, rows.filter(pa.array(rows[EVENT].to_numpy() >= 800)), labels_of(rows, y), 1000
        )


def test_fault_05_a_recipe_whose_windows_are_empty_trains_nothing() -> None:
    rows, y = stream(rows=2000)
    events = rows[EVENT].to_numpy()
    rows = rows.filter(pa.array((events < 500) | (events >= 800)))
    pipeline = definition()
    _, _, history = prepare(pipeline, rows, labels_of(*stream(rows=2000)), 1000)
    with pytest.raises(NoCandidate, match=r"0 training rows < train\.min_rows"):
        candidate(pipeline, history, "recent")
    assert candidate(pipeline, history, "all").manifest.lineage.rows == (events < 500).sum()
    assert len(y) == 2000


def test_fault_11_labels_late_or_missing_are_inconclusive_and_never_negatives() -> None:
    rows, _ = stream(rows=3000)
    x = rows["x"].to_numpy()
    y = (x + np.random.default_rng(1).normal(size=3000) > 0).astype(float)
    pipeline = definition()
    everything = labels_of(rows, y)
    challenger = candidate(pipeline, prepare(pipeline, rows, everything, 1000)[2])
    assert judged(pipeline, rows, everything, challenger)["gate.evidence"].verdict is Verdict.PASS
    # most negatives of the held-out window have not come: the base rate of what came is wrong
    held = rows[EVENT].to_numpy() >= 800
    lost = held & (y == 0)
    partial = everything.filter(pa.array(~lost | (np.arange(3000) % 10 == 0)))
    evidence = judged(pipeline, rows, partial, challenger)
    assert evidence["gate.evidence"].verdict is Verdict.PASS  # 55 % came, as the pipeline allows
    strict = pipeline.model_copy(
        update={"label": pipeline.label.model_copy(update={"min_labelled_share": 0.9})}
    )
    evidence = judged(strict, rows, partial, challenger)
    assert evidence["gate.evidence"].verdict is Verdict.INCONCLUSIVE
    assert worst(e.verdict for e in evidence.values()) is Verdict.INCONCLUSIVE
    # what has no label is not in the training rows at all
    labelled = self_train.join_labels(pipeline, rows, everything.filter(pa.array(y == 1)), 1000)
    assert set(labelled.labels.tolist()) == {1.0}
    assert labelled.mature_rows(0, 900) == (rows[EVENT].to_numpy() < 900).sum()


def test_fault_11_labels_that_come_late_are_used_when_they_are_known() -> None:
    rows, y = stream(rows=1000)
    pipeline = definition()
    late = labels_of(rows, y)
    late = late.set_column(1, KNOWN, pa.array(late[KNOWN].to_numpy() + 150))
    before = self_train.join_labels(pipeline, rows, late, 1000)
    assert before.events.max() < 750
    after = self_train.join_labels(pipeline, rows, late, 1200)
    assert after.events.max() > 900


def test_fault_13_single_class_gives_no_candidate() -> None:
    rows, _ = stream(rows=1000)
    pipeline = definition()
    for label in (0.0, 1.0):
        _, _, history = prepare(pipeline, rows, labels_of(rows, np.full(1000, label)), 1000)
        with pytest.raises(NoCandidate, match=rf"one label value only \({label:g}\)"):
            candidate(pipeline, history)
    regression = definition("regression")
    _, _, history = prepare(regression, rows, labels_of(rows, np.full(1000, 3.5)), 1000)
    with pytest.raises(NoCandidate, match="a target that varies"):
        candidate(regression, history)


def test_fault_14_features_without_any_value_give_no_candidate() -> None:
    rows, y = stream(rows=1000)
    for name in ("x", "z"):
        rows = replaced(rows, name, [float("nan")] * 1000)
    rows = replaced(rows, "kind", pa.nulls(1000, pa.string()))
    pipeline = definition()
    _, _, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    with pytest.raises(NoCandidate, match="no value in any of the 3 features"):
        candidate(pipeline, history)


def test_fault_15_an_unseen_category_is_scored_as_missing_and_counted() -> None:
    rows, y = stream(rows=1000)
    pipeline = definition()
    bundle = candidate(pipeline, prepare(pipeline, rows, labels_of(rows, y), 1000)[2])
    strange = replaced(rows, "kind", ["zz"] * 10 + rows["kind"].to_pylist()[10:])
    missing = replaced(rows, "kind", [None] * 10 + rows["kind"].to_pylist()[10:])
    assert np.array_equal(predict(bundle, strange), predict(bundle, missing))
    assert not np.array_equal(predict(bundle, strange), predict(bundle, rows))
    assert unseen(strange, bundle) == {"kind": 10}
    assert unseen(missing, bundle) == {"kind": 0}


def test_fault_16_reordered_columns_score_and_train_the_same() -> None:
    rows, y = stream(rows=1000)
    pipeline = definition()
    bundle = candidate(pipeline, prepare(pipeline, rows, labels_of(rows, y), 1000)[2])
    turned = rows.select(rows.column_names[::-1])
    assert np.array_equal(predict(bundle, turned), predict(bundle, rows))
    again = candidate(pipeline, prepare(pipeline, turned, labels_of(rows, y), 1000)[2])
    assert again.files() == bundle.files()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("kind", ["random", "one slice", "one class"])
def test_fault_20_flipped_labels_never_promote_a_candidate_that_is_truly_worse(
    share: float, kind: str, seed: int
) -> None:
    """The last two training windows are poisoned; the holdout is clean; a fresh truth decides."""
    rows, y = stream(rows=4000, seed=seed)
    pipeline = definition()
    champion = candidate(pipeline, prepare(pipeline, rows, labels_of(rows, y), 700)[2], "recent")
    events = rows[EVENT].to_numpy()
    random = np.random.default_rng(seed + 50)
    target = {
        "random": np.ones(4000, bool),
        "one slice": np.array(rows["kind"].to_pylist()) == "a",
        "one class": y == 1,
    }[kind]
    poisoned = (events >= 500) & (events < 800) & target & (random.random(4000) < share)
    labels = labels_of(rows, np.where(poisoned, 1 - y, y))
    challenger = candidate(pipeline, prepare(pipeline, rows, labels, 1000)[2], "recent")
    evidence = judged(pipeline, rows, labels, challenger, champion)
    promoted = worst(e.verdict for e in evidence.values()).lets_through
    fresh, truth = stream(rows=40_000, seed=seed + 1000)
    losses = [row_losses("binary", truth, predict(b, fresh)) for b in (champion, challenger)]
    gain = losses[0] - losses[1]
    truly_worse = gain.mean() + 3 * gain.std() / 200 < 0
    assert not (promoted and truly_worse), evidence["gate.improvement"].arithmetic


def test_fault_20_flipped_labels_do_harm_that_the_gate_sees() -> None:
    rows, y = stream(rows=4000)
    pipeline = definition()
    champion = candidate(pipeline, prepare(pipeline, rows, labels_of(rows, y), 700)[2], "recent")
    events = rows[EVENT].to_numpy()
    flipped = (events >= 500) & (events < 800) & (np.random.default_rng(1).random(4000) < 0.4)
    labels = labels_of(rows, np.where(flipped, 1 - y, y))
    challenger = candidate(pipeline, prepare(pipeline, rows, labels, 1000)[2], "recent")
    evidence = judged(pipeline, rows, labels, challenger, champion)
    assert evidence["gate.this_window"].verdict is Verdict.BLOCK


def test_fault_21_rows_on_both_sides_block() -> None:
    rows, y = stream(rows=2000)
    pipeline = definition()
    labels = labels_of(rows, y)
    bundle = candidate(pipeline, prepare(pipeline, rows, labels, 1000)[2])
    assert judged(pipeline, rows, labels, bundle)["gate.overlap"].measured == 0
    # the same flight again under its old key, a week later
    again = rows.slice(0, 7).set_column(1, EVENT, pa.array(np.full(7, 850)))
    both = pa.concat_tables([rows, again.set_column(2, KNOWN, pa.array(np.full(7, 850)))])
    evidence = judged(pipeline, both, labels, bundle)["gate.overlap"]
    assert (evidence.verdict, evidence.measured) == (Verdict.BLOCK, 7)
    assert evidence.arithmetic == "7 of the held-out keys were trained on, 0 allowed"


def test_fault_21_a_champion_trained_past_the_holdout_blocks() -> None:
    rows, y = stream(rows=2000)
    pipeline = definition()
    labels = labels_of(rows, y)
    newer = candidate(pipeline, prepare(pipeline, rows, labels, 1000)[2])
    older = candidate(pipeline, prepare(pipeline, rows, labels, 800)[2])
    evidence = judged(pipeline, rows, labels, older, newer, as_of=900)
    assert evidence["gate.overlap"].verdict is Verdict.BLOCK
    assert "past the holdout's start" in evidence["gate.overlap"].arithmetic


def test_fault_all_null_labels_give_no_candidate() -> None:
    rows, y = stream(rows=2000)
    labels = labels_of(rows, y)
    nulls = labels.set_column(2, LABEL, pa.nulls(2000, pa.float64()))
    with pytest.raises(NoCandidate, match="no accepted row before 900 has a label as of 1000"):
        prepare(definition(), rows, nulls, 1000)
    strangers = labels.set_column(0, KEY, pa.array([f"other{i}" for i in range(2000)]))
    with pytest.raises(NoCandidate, match="do not match the rows' keys"):
        prepare(definition(), rows, strangers, 1000)
    # labels that stop coming: an old window is judged again and again, never a guess
    stopped = labels.filter(pa.array(labels[KNOWN].to_numpy() < 600))
    labelled, cut, _ = prepare(definition(), rows, stopped, 1000)
    assert cut.holdout_from == 400
    assert labelled.mature_rows(cut.holdout_from, cut.holdout_before) > 2 * len(
        labelled.between(cut.holdout_from, cut.holdout_before)[1]
    )
