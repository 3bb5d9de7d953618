"""A target's unit makes no difference: to what is learned, to what is decided, to the bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ratchet import self_train
from ratchet.contracts.bundle import MODEL, Bundle
from ratchet.contracts.metrics import r2
from ratchet.contracts.score import booster, predict
from ratchet.self_train import fit
from ratchet.self_train.unit import PLAIN, in_unit, unit_of
from tests.learning import by_name, candidate, definition, labels_of, prepare, stream

PIPELINE = definition("regression")


def learned(factor: float, recipe: str = "all") -> tuple[Bundle, np.ndarray, np.ndarray]:
    """A model of the stream times a factor, its scores of the held-out rows, and the truth."""
    rows, y = stream(objective="regression")
    labelled, cut, history = prepare(PIPELINE, rows, labels_of(rows, factor * y), 1000)
    bundle = candidate(PIPELINE, history, recipe)
    held, truth = labelled.between(cut.holdout_from, cut.holdout_before)
    return bundle, predict(bundle, held), truth


@pytest.mark.parametrize("recipe", ["all", "decayed"])
@pytest.mark.parametrize("factor", [1e-18, 1e-9, 1e-6, 1e-3, 1e6, 1e12, 1e18])
def test_the_same_stream_in_another_unit_is_learned_alike(factor: float, recipe: str) -> None:
    _, scores, truth = learned(1.0, recipe)
    bundle, scaled, scaled_truth = learned(factor, recipe)
    skill = r2(truth, scores)
    assert skill.value > 0.3
    assert r2(scaled_truth, scaled).value == pytest.approx(skill.value, abs=1e-3)
    error = np.sqrt(np.mean((truth - scores) ** 2))
    scaled_error = np.sqrt(np.mean((scaled_truth - scaled) ** 2)) / factor
    assert scaled_error == pytest.approx(error, rel=1e-3)
    assert bundle.manifest.gains == pytest.approx(learned(1.0, recipe)[0].manifest.gains, abs=0.01)


def test_a_model_that_was_learned_in_another_unit_is_the_one_that_was_not() -> None:
    rows, y = stream(objective="regression")
    _, _, history = prepare(PIPELINE, rows, labels_of(rows, 30 * y + 7), 1000)
    recipe = by_name(PIPELINE, "all")
    training = self_train.training_set(history, PIPELINE, recipe)
    plain = self_train.train(training, PIPELINE, recipe)
    unit = 32.0
    scaled = replace(training, labels=training.labels / np.float32(unit))
    content = fit.boost(
        scaled.matrix,
        scaled.labels,
        scaled.features,
        fit.parameters(PIPELINE, recipe),
        recipe.rounds,
    )
    made, expected = (_content(model) for model in (in_unit(content, unit, 1), plain))
    for tree, other in zip(_trees(made), _trees(expected), strict=True):
        gains = [g * unit**2 for g in tree.pop("loss_changes")]
        assert gains == pytest.approx(other.pop("loss_changes"))
    assert made == expected


def _content(model: bytes) -> dict[str, Any]:
    return dict(json.loads(booster(model, 1).save_raw("json")))


def _trees(content: dict[str, Any]) -> list[dict[str, Any]]:
    return list(content["learner"]["gradient_booster"]["model"]["trees"])


def test_the_same_training_gives_the_same_bytes_in_any_unit() -> None:
    first, second = learned(1e-6)[0], learned(1e-6)[0]
    assert first.files() == second.files()
    assert first.manifest.format == 1, "who reads it need not know"


def test_a_model_in_another_unit_is_xgboosts_own() -> None:
    bundle, scores, _ = learned(2.0**-20)
    plain, plain_scores, _ = learned(1.0)
    assert np.array_equal(scores, plain_scores * 2.0**-20)
    trees = [_trees(_content(b.models[MODEL])) for b in (plain, bundle)]
    same = ("left_children", "right_children", "split_indices", "sum_hessian")
    assert [[t[k] for k in same] for t in trees[0]] == [[t[k] for k in same] for t in trees[1]]


@pytest.mark.parametrize(
    ("spread", "unit"),
    [(1.0, 1.0), (PLAIN[1], 1.0), (0.0, 1.0), (1e-6, 2.0**-20), (1e7, 2.0**23), (1e-30, 2.0**-100)],
)
def test_the_unit_is_a_power_of_two_near_the_spread(spread: float, unit: float) -> None:
    labels: Any = np.array([-spread, spread])
    assert unit_of(labels) == unit


@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_classes_have_no_unit(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> bytes:
        raise AssertionError("classes were given a unit")

    monkeypatch.setattr(fit, "in_unit", never)
    monkeypatch.setattr(fit, "unit_of", never)
    rows, y = stream(objective=objective)
    pipeline = definition(objective)
    _, _, history = prepare(pipeline, rows, labels_of(rows, y), 1000)
    assert candidate(pipeline, history).models[MODEL]
