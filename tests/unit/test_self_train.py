"""Only what was known is learned from, in one order, to the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet import self_train
from ratchet.contracts.bundle import MODEL, unpack
from ratchet.contracts.columns import EVENT, KEY, KNOWN, LABEL
from ratchet.contracts.score import encode, predict
from ratchet.errors import ModelError, NoCandidate
from tests.learning import by_name, candidate, definition, labels_of, prepare, stream


def table(rows: list[tuple[str, int, int]]) -> pa.Table:
    keys, events, known = zip(*rows, strict=True)
    return pa.table(
        {
            KEY: pa.array(keys),
            EVENT: pa.array(events, pa.int64()),
            KNOWN: pa.array(known, pa.int64()),
        }
    )


def known_labels(rows: list[tuple[str, int, float | None]]) -> pa.Table:
    return pa.table(
        {
            KEY: pa.array([r[0] for r in rows], pa.string()),
            KNOWN: pa.array([r[1] for r in rows], pa.int64()),
            LABEL: pa.array([r[2] for r in rows], pa.float64()),
        }
    )


# --- join_labels ---------------------------------------------------------------------------------


def test_a_label_counts_only_when_it_and_its_row_were_known_and_it_is_mature() -> None:
    rows = table([("ripe", 10, 10), ("green", 100, 100), ("late_row", 20, 200), ("edge", 99, 99)])
    labels = known_labels(
        [(k, 110, 1.0) for k in ("ripe", "green", "late_row")] + [("edge", 199, 0.0)]
    )
    joined = self_train.join_labels(definition(delay=100), rows, labels, as_of=200)
    assert rows[KEY].take(joined.positions).to_pylist() == ["ripe", "edge"]
    assert joined.labels.tolist() == [1.0, 0.0]
    later = self_train.join_labels(definition(delay=100), rows, labels, as_of=201)
    assert rows[KEY].take(later.positions).to_pylist() == ["ripe", "late_row", "edge", "green"]


def test_a_label_known_at_as_of_is_not_known_before_it() -> None:
    rows, labels = table([("a", 1, 1)]), known_labels([("a", 50, 1.0)])
    assert len(self_train.join_labels(definition(delay=0), rows, labels, 50).labels) == 0
    assert len(self_train.join_labels(definition(delay=0), rows, labels, 51).labels) == 1


def test_of_several_labels_the_first_known_counts_and_rows_do_not_multiply() -> None:
    rows = table([("a", 1, 1), ("b", 2, 2)])
    labels = known_labels([("a", 30, 0.0), ("b", 10, 1.0), ("a", 20, 1.0), ("b", 10, 0.0)])
    joined = self_train.join_labels(definition(delay=0), rows, labels, 100)
    assert joined.labels.tolist() == [1.0, 1.0]


def test_a_row_without_a_label_or_with_a_null_one_is_no_negative() -> None:
    rows = table([("a", 1, 1), ("b", 2, 2), ("c", 3, 3)])
    joined = self_train.join_labels(
        definition(delay=0), rows, known_labels([("a", 5, None), ("b", 5, 1.0)]), 9
    )
    assert joined.positions.tolist() == [1]
    assert joined.mature_rows(0, 9) == 3


def test_rows_come_out_in_order_of_event_and_the_table_is_not_copied() -> None:
    rows = table([("late", 30, 30), ("early", 5, 31), ("tie", 30, 32)])
    joined = self_train.join_labels(
        definition(delay=0),
        rows,
        known_labels([(k, 40, 1.0) for k in ("early", "late", "tie")]),
        99,
    )
    assert joined.rows is rows
    assert rows[KEY].take(joined.positions).to_pylist() == ["early", "late", "tie"]
    held, y = joined.between(6, 31)
    assert held[KEY].to_pylist() == ["late", "tie"]
    assert y.tolist() == [1.0, 1.0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_join_agrees_with_a_plain_loop(data: st.DataObject) -> None:
    tick = st.integers(0, 60)
    rows = data.draw(st.lists(st.tuples(tick, tick), min_size=1, max_size=12))
    found = data.draw(
        st.lists(st.tuples(st.integers(0, 14), tick, st.sampled_from([0.0, 1.0])), max_size=20)
    )
    as_of, delay = data.draw(st.integers(0, 80)), data.draw(st.integers(0, 20))
    rows_table = table([(f"k{i}", e, max(e, k)) for i, (e, k) in enumerate(rows)])
    labels = known_labels([(f"k{i}", known, y) for i, known, y in found])
    joined = self_train.join_labels(definition(delay=delay), rows_table, labels, as_of)
    expected = []
    for i, (event, known) in enumerate(rows):
        mine = [(k, n, y) for n, (j, k, y) in enumerate(found) if j == i and k < as_of]
        if mine and event + delay < as_of and max(event, known) < as_of:
            expected.append((event, i, min(mine)[2]))
    expected.sort(key=lambda e: (e[0], e[1]))
    assert joined.positions.tolist() == [i for _, i, _ in expected]
    assert joined.labels.tolist() == [y for _, _, y in expected]


# --- split ---------------------------------------------------------------------------------------


def test_the_newest_labelled_window_is_held_out() -> None:
    cut = self_train.split(definition(delay=100), 500, np.array([10, 110, 210, 310, 390]))
    assert cut == self_train.Cut(holdout_from=300, holdout_before=400, train_before=300)


def test_windows_without_rows_are_passed_over() -> None:
    cut = self_train.split(definition(delay=100), 900, np.array([10, 110, 210]))
    assert (cut.holdout_from, cut.holdout_before) == (200, 800)


def test_several_windows_may_be_held_out() -> None:
    pipeline = definition(delay=100, train="holdout_windows = 2")
    cut = self_train.split(pipeline, 900, np.array([10, 110, 210, 415]))
    assert cut.holdout_from == 200


@pytest.mark.parametrize(
    ("delay", "start"), [(20, 400), (50, 400), (51, 300), (80, 300), (150, 300)]
)
def test_a_window_that_is_hardly_mature_is_held_out_but_does_not_count(
    delay: int, start: int
) -> None:
    events = np.repeat(np.arange(0, 500 - delay), 2)
    cut = self_train.split(definition(delay=delay), 500, events)
    assert (cut.holdout_from, cut.holdout_before) == (start, 500 - delay)


def test_older_windows_are_held_out_too_until_there_are_enough_rows_to_judge_on() -> None:
    few = np.repeat([10, 110, 210, 310], [300, 70, 60, 45])
    assert self_train.split(definition(delay=100), 500, few).holdout_from == 200
    fewer = np.repeat([10, 110, 210, 310], [300, 60, 30, 5])
    assert self_train.split(definition(delay=100), 500, fewer).holdout_from == 0
    too_few = np.repeat([110, 310], [50, 45])  # no holdout would be enough: train, and say so
    assert self_train.split(definition(delay=100), 500, too_few).holdout_from == 300


def trusted_from(rows: pa.Table, y: np.ndarray, chosen: np.ndarray) -> pa.Table:
    names = [KEY, EVENT, KNOWN, *definition().features]
    table = rows.select(names).append_column(LABEL, pa.array(y, pa.float64()))
    return table.filter(pa.array(chosen))


def with_events(rows: pa.Table, y: np.ndarray) -> pa.Table:
    known = rows[EVENT].to_numpy() + 100
    columns = {KEY: rows[KEY], EVENT: rows[EVENT], KNOWN: pa.array(known), LABEL: pa.array(y)}
    return pa.table(columns)


def test_trusted_rows_stand_in_where_labels_were_kept_out_and_nowhere_else() -> None:
    rows, y = stream()
    events = rows[EVENT].to_numpy()
    kept_out = (events >= 300) & (events < 400)
    hidden = (events >= 500) & (events < 600) & (y == 1)  # most positives of a window are withheld
    labels = with_events(rows, y).filter(pa.array(~kept_out & ~hidden))
    chosen = np.random.default_rng(5).random(len(y)) < 0.3
    trusted = trusted_from(rows, y, chosen)
    rows = rows.select([KEY, EVENT, KNOWN, *definition().features])
    got, given, count = self_train.stand_in(definition(), rows, labels, trusted, 1000)
    lacking = kept_out | ((events >= 500) & (events < 600) & (hidden.sum() > 100))
    assert count == (chosen & lacking).sum() > 0
    expected = set(np.array(rows[KEY].to_pylist())[~lacking | chosen])
    assert set(got[KEY].to_pylist()) == expected
    joined = self_train.join_labels(definition(), got, given, 1000)
    inside = joined.within(300, 400)
    assert inside.stop - inside.start == (chosen & kept_out).sum() == joined.mature_rows(300, 400)
    truth = dict(zip(rows[KEY].to_pylist(), y.tolist(), strict=True))
    keys = joined.rows[KEY].take(pa.array(joined.positions)).to_pylist()
    assert [truth[k] for k in keys] == joined.labels.tolist()


def test_no_trusted_row_stands_in_that_was_not_known_or_where_labels_are_there() -> None:
    rows, y = stream()
    events = rows[EVENT].to_numpy()
    rows = rows.select([KEY, EVENT, KNOWN, *definition().features])
    everything = trusted_from(rows, y, np.ones(len(y), dtype=bool))
    labels = with_events(rows, y)
    got = self_train.stand_in(definition(), rows, labels, everything, 1000)
    assert got[0] is rows and got[1] is labels and got[2] == 0
    late = everything.set_column(2, KNOWN, pa.array(np.full(len(y), 1000)))
    none = labels.filter(pa.array(events < 300))
    assert self_train.stand_in(definition(), rows, none, late, 1000)[2] == 0


def test_rows_that_were_kept_out_whole_are_stood_in_for_too() -> None:
    rows, y = stream()
    events = rows[EVENT].to_numpy()
    rows = rows.select([KEY, EVENT, KNOWN, *definition().features])
    inside = (events >= 300) & (events < 400)
    chosen = np.random.default_rng(5).random(len(y)) < 0.3
    trusted, kept = trusted_from(rows, y, chosen), pa.array(~inside)
    labels = with_events(rows, y).filter(kept)
    got, _, count = self_train.stand_in(definition(), rows.filter(kept), labels, trusted, 1000)
    assert count == (chosen & inside).sum() == got.num_rows - (~inside).sum()


def test_events_that_are_not_mature_never_count() -> None:
    cut = self_train.split(definition(delay=100), 300, np.array([50, 150, 250]))
    assert cut.holdout_from == 100


def test_without_a_mature_label_there_is_no_candidate() -> None:
    with pytest.raises(NoCandidate, match="no accepted row before 200 has a label as of 300"):
        self_train.split(definition(delay=100), 300, np.array([250]))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-500, 900), min_size=1, max_size=40).map(sorted),
    st.integers(0, 250),
    st.integers(1, 3),
)
def test_training_and_holdout_never_share_a_row(
    events: list[int], delay: int, windows: int
) -> None:
    pipeline = definition(delay=delay, train=f"holdout_windows = {windows}")
    ticks = np.array(events)
    if not (ticks < 900 - delay).any():
        with pytest.raises(NoCandidate):
            self_train.split(pipeline, 900, ticks)
        return
    cut = self_train.split(pipeline, 900, ticks)
    held = ticks[(ticks >= cut.holdout_from) & (ticks < cut.holdout_before)]
    assert len(held) > 0
    assert cut.train_before == cut.holdout_from <= held.min()
    assert cut.holdout_from % 100 == 0


def test_a_first_cycle_has_nothing_to_train_on() -> None:
    rows, y = stream(rows=300, ticks=100)
    with pytest.raises(NoCandidate, match="all are held out for the gate"):
        prepare(definition(), rows, labels_of(rows, y), 200)


# --- training sets -------------------------------------------------------------------------------


def test_a_recipe_sees_its_history_and_weighs_by_age() -> None:
    rows, y = stream()
    pipeline = definition()
    _, cut, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    assert cut.train_before == 800
    every = self_train.training_set(history, pipeline, by_name(pipeline, "all"))
    recent = self_train.training_set(history, pipeline, by_name(pipeline, "recent"))
    decayed = self_train.training_set(history, pipeline, by_name(pipeline, "decayed"))
    events = rows[EVENT].to_numpy()
    assert every.rows == decayed.rows == (events < 800).sum()
    assert (recent.train_from, recent.rows) == (600, ((events >= 600) & (events < 800)).sum())
    assert set(every.weights.tolist()) == {1.0}
    ages = (800 - events[events < 800]) / 100
    assert np.allclose(decayed.weights, 0.5 ** (ages / 2), rtol=1e-6)
    assert len({t.data_digest for t in (every, recent, decayed)}) == 3
    assert every.matrix.base is not None and np.shares_memory(every.matrix, decayed.matrix)


def test_the_matrix_is_the_encoding_of_the_rows() -> None:
    rows, y = stream(rows=500)
    pipeline = definition()
    labelled, cut, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    training = self_train.training_set(history, pipeline, by_name(pipeline, "recent"))
    plain, _ = labelled.between(cut.train_before - 200, cut.train_before)
    assert np.array_equal(training.matrix, encode(plain, training.features, training.categories))
    assert training.reference.equals(plain.select(["x", "z", "kind"]).combine_chunks())


def test_a_category_that_only_older_rows_hold_is_unknown_to_a_short_recipe() -> None:
    rows, y = stream(rows=1000)
    old = rows[EVENT].to_numpy() < 300
    kind = np.where(old, "ancient", np.array(rows["kind"].to_pylist()))
    rows = rows.set_column(rows.column_names.index("kind"), "kind", pa.array(kind.tolist()))
    pipeline = definition()
    labelled, cut, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    every = self_train.training_set(history, pipeline, by_name(pipeline, "all"))
    recent = self_train.training_set(history, pipeline, by_name(pipeline, "recent"))
    assert every.categories["kind"] == ("a", "ancient", "b", "c")
    assert recent.categories["kind"] == ("a", "b", "c")
    plain, _ = labelled.between(cut.train_before - 200, cut.train_before)
    assert np.array_equal(recent.matrix, encode(plain, recent.features, recent.categories))
    assert np.nanmax(history.matrix[:, 2]) == 3  # the shared matrix was not changed


def test_only_the_most_frequent_categories_are_kept() -> None:
    rows, y = stream(rows=400)
    kind = ["rare"] + ["often", "seldom"] * 5 + ["often"] * (400 - 11)
    rows = rows.set_column(rows.column_names.index("kind"), "kind", pa.array(kind))
    pipeline = definition(train="max_categories = 2")
    _, _, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    assert history.categories["kind"] == ("often", "seldom")
    assert np.isnan(history.matrix[0, 2])


def test_the_digest_depends_on_values_alone() -> None:
    rows, y = stream(rows=300)
    pipeline = definition()

    def digest(rows: pa.Table, labels: pa.Table, recipe: str = "all") -> str:
        _, _, history = prepare(pipeline, rows, labels, 1000)
        return self_train.training_set(history, pipeline, by_name(pipeline, recipe)).data_digest

    labels = labels_of(rows, y)
    first = digest(rows, labels)
    pieces = pa.concat_tables([rows.slice(0, 100), rows.slice(100)])
    assert digest(pieces, labels.take(np.arange(300)[::-1])) == first
    assert digest(rows.select(rows.column_names[::-1]), labels) == first
    nan = np.frombuffer(np.array([0x7FF8000000000123], "uint64").tobytes())[0]
    nulls = rows.set_column(3, "x", pa.array([None, *rows["x"].to_pylist()[1:]], pa.float64()))
    nans = rows.set_column(3, "x", pa.array(np.array([nan, *rows["x"].to_pylist()[1:]])))
    assert digest(nulls, labels) == digest(nans, labels) != first
    renamed = rows.set_column(0, KEY, pc.replace_substring(rows[KEY], "k1", "k_1"))
    assert digest(renamed, labels_of(renamed, y)) != first
    flipped = labels_of(rows, np.where(np.arange(300) == 3, 1 - y, y))
    assert digest(rows, flipped) != first
    assert digest(rows.slice(1), labels) != first


def test_the_baseline_is_the_best_constant_of_the_training_rows() -> None:
    rows, y = stream()
    pipeline = definition()
    _, _, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    training = self_train.training_set(history, pipeline, by_name(pipeline, "all"))
    found = self_train.best_constant(training.labels, 2)
    assert found == pytest.approx(y[rows[EVENT].to_numpy() < 800].mean())
    assert self_train.best_constant(training.labels, 3).tolist() == pytest.approx(
        [1 - y[: training.rows].mean(), y[: training.rows].mean(), 0]
    )


def test_no_key_is_on_both_sides() -> None:
    rows, y = stream(rows=500)
    pipeline = definition()
    labelled, cut, _ = prepare(pipeline, rows, labels_of(rows, y), 1000)
    assert self_train.overlap(labelled, cut) == 0


# --- train and bundle ----------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
def test_each_objective_learns(objective: str) -> None:
    rows, y = stream(objective=objective)
    pipeline = definition(objective)
    labelled, cut, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    bundle = candidate(pipeline, history)
    held, truth = labelled.between(cut.holdout_from, cut.holdout_before)
    scores = predict(bundle, held)
    if objective == "multiclass":
        assert scores.shape == (len(truth), 3)
        assert (scores.argmax(axis=1) == truth).mean() > 0.5
        assert predict(bundle, held.slice(0, 0)).shape == (0, 3)
    else:
        assert np.corrcoef(scores, truth)[0, 1] > 0.4
    assert sum(bundle.manifest.gains.values()) == pytest.approx(1)
    assert max(bundle.manifest.gains, key=lambda f: bundle.manifest.gains[f]) == "x"


SCRIPT = """
import hashlib
from tests.learning import *
rows, y = stream()
pipeline = definition()
_, _, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
for recipe in ("all", "recent", "decayed"):
    files = candidate(pipeline, history, recipe).files()
    print(hashlib.sha256(b"".join(files.values())).hexdigest())
"""


def test_the_same_inputs_give_the_same_bytes_in_another_process_too() -> None:
    rows, y = stream()
    pipeline = definition()
    _, _, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    here = []
    for recipe in ("all", "recent", "decayed"):
        twice = [candidate(pipeline, history, recipe) for _ in range(2)]
        assert twice[0].files() == twice[1].files()
        here.append(hashlib.sha256(b"".join(twice[0].files().values())).hexdigest())
    env = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "5"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout.split() == here


def test_the_bundle_tells_where_it_came_from_and_survives_storage() -> None:
    rows, y = stream()
    pipeline = definition()
    _, cut, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    bundle = candidate(pipeline, history, "recent")
    lineage = bundle.manifest.lineage
    assert (lineage.train_from, lineage.train_before) == (600, cut.train_before)
    assert lineage.definition_digest == pipeline.digest
    assert lineage.model_digest == hashlib.sha256(bundle.models[MODEL]).hexdigest()
    assert lineage.recipe["history"] == 2
    again = unpack(bundle.files(), bundle.digest)
    assert again == bundle
    assert np.array_equal(predict(again, rows), predict(bundle, rows))


def test_too_few_rows_are_refused() -> None:
    rows, y = stream(rows=100)
    pipeline = definition(train="max_categories = 5").model_copy()
    with pytest.raises(NoCandidate, match=r"training rows < train.min_rows \(50\)"):
        _, _, history = prepare(pipeline, rows.slice(40), labels_of(rows, y), 1000)
        candidate(pipeline, history)


def test_what_no_class_or_number_stands_for_is_refused() -> None:
    rows, y = stream(rows=500)
    pipeline = definition()
    _, _, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    training = self_train.training_set(history, pipeline, by_name(pipeline, "all"))
    refused = {
        "1 training labels are not finite": replace(
            training, labels=_but_first(training.labels, np.nan)
        ),
        "none of the 2 classes": replace(training, labels=_but_first(training.labels, 2.0)),
        r"one label value only \(none\)": replace(training, weights=training.weights * 0),
        "beyond float32": replace(training, matrix=np.full_like(training.matrix, np.inf)),
    }
    for message, broken in refused.items():
        with pytest.raises(NoCandidate, match=message):
            self_train.train(broken, pipeline, by_name(pipeline, "all"))


def test_a_model_without_a_split_has_no_gain() -> None:
    rows, y = stream(rows=500)
    constant = rows.set_column(3, "x", pa.array([1.0] * 500)).set_column(
        4, "z", pa.array([1.0] * 500)
    )
    constant = constant.set_column(5, "kind", pa.array(["a"] * 500))
    pipeline = definition()
    _, _, history = prepare(pipeline, constant, labels_of(rows, y), 1000)
    assert set(candidate(pipeline, history).manifest.gains.values()) == {0.0}


def test_a_missing_feature_is_named() -> None:
    rows, y = stream(rows=500)
    with pytest.raises(ModelError, match="column 'z' is missing"):
        prepare(definition(), rows.drop_columns(["z"]), labels_of(rows, y), 1000)


def _but_first(values: np.ndarray, first: float) -> np.ndarray:
    changed = values.copy()
    changed[0] = first
    return changed


# --- choose --------------------------------------------------------------------------------------


def test_without_history_the_first_declared_goes() -> None:
    name, why = self_train.choose(["b", "a"], [])
    assert name == "b"
    assert "no earlier cycle" in why
    assert self_train.choose(["b", "a"], [{"gone": 0.1}, {"a": float("nan")}])[0] == "b"


def test_newer_losses_weigh_more() -> None:
    history = [{"a": 0.40, "b": 0.50}] * 2 + [{"a": 0.50, "b": 0.41}] * 2
    assert self_train.choose(["a", "b"], history, discount=0.5)[0] == "b"
    assert self_train.choose(["a", "b"], history, discount=1.0)[0] == "a"
    assert "4 earlier cycles" in self_train.choose(["a", "b"], history)[1]


def test_ties_go_to_the_first_declared() -> None:
    assert self_train.choose(["b", "a"], [{"a": 0.3, "b": 0.3}])[0] == "b"


def test_a_recipe_that_missed_a_hard_cycle_gains_nothing() -> None:
    history = [{"good": 0.9, "other": 0.95}, {"good": 0.40, "other": 0.42, "new": 0.41}]
    assert self_train.choose(["new", "good", "other"], history, discount=1.0)[0] == "good"
