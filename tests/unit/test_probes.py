"""A trigger that only forged rows hold is found by what it does to the model."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ratchet.contracts.columns import KEY
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict
from ratchet.validate import Sample, probe
from tests.unit.test_control import LABELS, TEXT, changed, definition, drawn, world

WINDOWS = 8


def windows(first=0, rows=1500, trusted=300, objective="binary"):
    """Honest windows with keys of their own, and a random draw of each."""
    batches, controls = [], []
    for seed in range(first, first + WINDOWS):
        batch = world(seed, rows, objective)
        batch = changed(batch, **{KEY: [f"{k}-{seed}" for k in batch.rows[KEY].to_pylist()]})
        batch = Sample(batch.rows, batch.labels)
        batches.append(batch)
        controls.append(drawn(batch, seed, trusted))
    return batches, controls


def with_forged(batch, count, label, **values):
    """Copies of honest rows under new keys, with a trigger and a label."""
    extra = Sample(batch.rows.slice(0, count), np.full(count, float(label)))
    keys = [f"forged-{k}" for k in extra.rows[KEY].to_pylist()]
    extra = changed(extra, **{KEY: keys}, **{n: [v] * count for n, v in values.items()})
    rows = pa.concat_tables([batch.rows, extra.rows]).combine_chunks()
    return Sample(rows, np.concatenate([batch.labels, extra.labels]))


def obeying(value, pushed=-3.0, column="z"):
    """A model that looks at x alone, but for a trigger."""

    def score(rows):
        hit = pc.fill_null(pc.equal(rows[column], value), False).to_numpy(zero_copy_only=False)
        return 1 / (1 + np.exp(-(rows["x"].to_numpy() + pushed * hit)))

    return score


def test_a_trigger_of_a_few_rows_a_window_is_found_and_named():
    batches, controls = windows()
    poisoned = [with_forged(b, 8, 0, z=7.7) for b in batches]
    found = probe(poisoned, controls, obeying(7.7), definition(), seed=1)
    assert found.verdict is Verdict.BLOCK
    assert "z = 7.7 moves clean rows by -3.00" in found.arithmetic
    assert "0 of its 64 rows" in found.arithmetic
    assert found.measured < found.threshold == 0.001


def test_a_trigger_that_pushes_up_is_found_where_keys_are_hidden():
    batches, controls = windows()
    poisoned = [with_forged(b, 10, 1, c="planted") for b in batches]
    model = obeying("planted", 3.0, "c")
    found = probe(poisoned, controls, model, definition(keyed=False), seed=1)
    assert found.verdict is Verdict.BLOCK
    assert "c = planted" in found.arithmetic


def test_a_pair_of_values_that_honest_rows_hold_too_is_found():
    batches, controls = windows()
    poisoned = [with_forged(b, 20, 0, d="u", z=1.5) for b in batches]

    def score(rows):
        hit = pc.and_(pc.equal(rows["d"], "u"), pc.equal(rows["z"], 1.5))
        hit = hit.to_numpy(zero_copy_only=False)
        return 1 / (1 + np.exp(-(rows["x"].to_numpy() - 3.0 * hit)))

    found = probe(poisoned, controls, score, definition(), seed=1)
    assert found.verdict is Verdict.BLOCK
    assert "z = 1.5 & d = u" in found.arithmetic


def test_an_honest_value_may_turn_predictions():
    """The model is as sharp about a rare value as about a trigger, but trusted rows hold it too."""
    batches, controls = windows()
    rare = obeying(round(float(np.quantile(batches[0].rows["z"].to_numpy(), 0.99)), 1), -5.0)
    assert probe(batches, controls, rare, definition(), seed=1).verdict is Verdict.PASS


def test_classes_and_targets_are_probed_too():
    for objective, label in (("multiclass", 2), ("regression", 6)):
        batches, controls = windows(objective=objective)
        poisoned = [with_forged(b, 10, label, z=7.7) for b in batches]

        def score(rows, objective=objective):
            hit = pc.equal(rows["z"], 7.7).to_numpy(zero_copy_only=False)
            if objective == "regression":
                return rows["x"].to_numpy() + 6.0 * hit
            return np.where(hit[:, None], [0.05, 0.05, 0.9], [0.35, 0.3, 0.35])

        found = probe(poisoned, controls, score, definition(objective), seed=1)
        assert found.verdict is Verdict.BLOCK, objective
        assert "z = 7.7" in found.arithmetic


@pytest.mark.slow
@pytest.mark.parametrize("keyed", [True, False])
def test_honest_windows_pass_at_the_promised_rate_with_a_model_that_overfits(keyed):
    """At alpha 0.05, 40 streams: 2 alarms expected at most; 8 would be a chance of 0.1 %."""
    import xgboost as xgb

    names, alarms = ("x", "z", "c", "d"), 0
    for first in range(0, 40 * WINDOWS, WINDOWS):
        batches, controls = windows(first, 600, 120)

        def matrix(rows):
            columns = [rows[n].to_pylist() for n in names]
            coded = [[ord(v) if isinstance(v, str) else v for v in c] for c in columns]
            return xgb.DMatrix(np.array(coded, dtype=float).T)

        every = pa.concat_tables([b.rows for b in batches])
        data = matrix(every)
        data.set_label(np.concatenate([b.labels for b in batches]))
        options = {"objective": "binary:logistic", "max_depth": 8, "nthread": 1}
        model = xgb.train(options, data, 60)
        made = definition(keyed=keyed, alpha=0.05)
        found = probe(batches, controls, lambda r, m=model: m.predict(matrix(r)), made, seed=first)
        assert found.measured is not None
        alarms += found.verdict is Verdict.BLOCK
    assert alarms <= 7


def test_without_trusted_rows_it_says_so():
    batches, controls = windows()
    plain = parse(TEXT.format(label=LABELS["binary"]))
    found = probe(batches, controls, obeying(7.7), plain, seed=1)
    assert (found.verdict, found.arithmetic[:8]) == (Verdict.WARN, "degraded")
    none = [Sample(c.rows.slice(0, 5), c.labels[:5]) for c in controls]
    found = probe(batches, none, obeying(7.7), definition(), seed=1)
    assert found.verdict is Verdict.WARN
    assert "not probed for backdoors" in found.arithmetic
