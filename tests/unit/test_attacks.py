"""Every attack of the catalogue does something, keeps the table's shape, and can be repeated."""

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.attacks import catalogue
from benchmarks.attacks.scene import Scene
from ratchet.contracts.columns import EVENT, KEY, LABEL
from ratchet.contracts.definition import parse
from tests import streams

DEFINITION = parse(streams.PIPELINE.replace('c = "category"', 'c = "category"\nd = "category"'))


def rows(index):
    table = streams.window_rows(index, rows=600)
    rng = np.random.default_rng(index)
    columns = {KEY: table["id"], EVENT: table["t"], "x": table["x"], "z": table["z"]}
    columns |= {"c": table["c"], "d": rng.choice(list("pqrstuvw"), 600)}
    return pa.table({**columns, LABEL: pa.array(table["y"].to_numpy().astype(float))})


@pytest.mark.parametrize("name", sorted(catalogue()))
def test_an_attack_changes_the_rows_and_can_be_repeated(name):
    attack = catalogue()[name]
    clean = rows(3)
    scores = 1 / (1 + np.exp(-clean["x"].to_numpy()))
    scene = Scene(DEFINITION, scores, rows(1), 2, rows(0))
    strength = attack.STRENGTHS[-1]
    one, two = (attack.apply(clean, strength, np.random.default_rng(5), scene) for _ in range(2))
    assert one.schema.names == clean.schema.names
    assert one.equals(two)
    assert not one.equals(clean)
    assert len(set(one[KEY].to_pylist())) == one.num_rows
    assert "Source:" in attack.__doc__


def test_the_catalogue_is_as_large_as_is_said():
    assert len(catalogue()) == 28
