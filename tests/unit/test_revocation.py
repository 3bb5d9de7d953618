"""Revocations confined to rows that hold a value."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from ratchet.contracts.revocation import (
    Reach,
    revoked_mask,
    revoked_now,
    show_where,
    tainted_versions,
    where_columns,
    where_from_json,
    where_json,
    where_of,
    with_cells,
)
from ratchet.contracts.revocation import Sent as Part
from ratchet.errors import DefinitionError
from tests.flows.test_revoke import line_of

FEATURES = {"x": "number", "carrier": "category"}
AA = (("carrier", "AA"),)


def rows(**columns) -> pa.Table:
    content = {
        "_key": ["k0", "k1", "k2", "k3"],
        "_source": ["bad", "bad", "bad", "good"],
        "_object": ["f", "f", "g", "h"],
        "_event": [1, 2, 3, 4],
        "_known": [11, 12, 13, 14],
        "carrier": ["AA", "UA", "AA", "AA"],
        "x": [1.5, 1.5, None, 1.5],
    }
    return pa.table({**content, **columns})


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (Reach("bad", where=AA), [1, 0, 1, 0]),
        (Reach("bad", where=(("carrier", "AA"), ("x", 1.5))), [1, 0, 0, 0]),
        (Reach("bad", known_from=12, where=AA), [0, 0, 1, 0]),
        (Reach("bad", known_until=13, where=AA), [1, 0, 0, 0]),
        (Reach("bad", object="g", where=AA), [0, 0, 1, 0]),
        (Reach("bad", where=(("x", 1.5),)), [1, 1, 0, 0]),
        (Reach("bad", where=(("carrier", "DL"),)), [0, 0, 0, 0]),
        (Reach("bad"), [1, 1, 1, 0]),
    ],
)
def test_every_condition_must_hold_and_a_missing_value_holds_none(reach, expected):
    assert revoked_mask(rows(), [reach]).astype(int).tolist() == expected


def test_several_reaches_add_up():
    found = revoked_mask(rows(), [Reach("bad", where=AA), Reach("good", where=AA)])
    assert found.astype(int).tolist() == [1, 0, 1, 1]


def test_a_table_without_the_column_is_never_taken_as_free_of_it():
    with pytest.raises(KeyError, match="carrier"):
        revoked_mask(rows().drop_columns(["carrier"]), [Reach("bad", where=AA)])


def test_a_label_is_judged_by_the_row_that_it_belongs_to():
    labels = pa.table(
        {
            "_key": ["k1", "k0", "k9"],
            "_source": ["desk"] * 3,
            "_object": ["l"] * 3,
            "_known": [21, 22, 23],
        }
    )
    whole = with_cells(labels, rows(), ["carrier"])
    assert whole["carrier"].to_pylist() == ["UA", "AA", None]
    assert revoked_mask(whole, [Reach("desk", where=AA)]).tolist() == [False, True, False]
    alone = with_cells(labels, rows().slice(0, 0), ["carrier", "x"])
    both = Reach("desk", where=(("carrier", "AA"), ("x", 1.5)))
    assert not revoked_mask(alone, [both]).any()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], ()),
        (["x=1"], (("x", 1.0),)),
        (["x=-1e3", "carrier=AA"], (("carrier", "AA"), ("x", -1000.0))),
        (["carrier=a=b"], (("carrier", "a=b"),)),
        (["carrier="], (("carrier", ""),)),
    ],
)
def test_conditions_are_read_by_the_kind_of_their_column(texts, expected):
    found = where_of(texts, FEATURES)
    assert found == expected
    assert where_from_json(where_json(found)) == found


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["carrier"], "expected COLUMN=VALUE"),
        (["plane=AA"], r"one of \['x', 'carrier'\]"),
        (["x=noon"], "expected a finite number, found 'noon'"),
        (["x="], "expected a finite number, found ''"),
        (["x=nan"], "finite"),
        (["x=inf"], "finite"),
        (["x=1", "x=2"], "named twice"),
    ],
)
def test_what_cannot_be_meant_is_said(texts, said):
    with pytest.raises(DefinitionError, match=said):
        where_of(texts, FEATURES)


def test_conditions_are_stored_and_read_again_and_older_lines_have_none():
    line = {"source": "bad", "status": "revoked", "known_from": 0, "known_until": None}
    lines = [
        {**line, "object": None, "where": where_json(AA)},
        {**line, "object": None, "where": None},
        {**line, "object": None, "where": where_json(AA)},
    ]
    assert revoked_now(pa.Table.from_pylist(lines)) == (Reach("bad", 0, where=AA), Reach("bad", 0))
    older = [{k: v for k, v in one.items() if k != "where"} for one in lines]
    assert revoked_now(pa.Table.from_pylist(older)) == (Reach("bad", 0),)
    back = pa.Table.from_pylist([*lines, {**lines[0], "status": "restored", "where": None}])
    assert revoked_now(back) == ()


def test_in_words():
    assert show_where(AA) == "carrier = 'AA'"
    both = (("carrier", "AA"), ("x", 2.0))
    assert Reach("bad", where=both).show() == "rows of bad with carrier = 'AA' and x = 2"
    found = Reach("bad", object="0123456789abcdef", where=AA).show()
    assert found == "rows of object 0123456789ab of bad with carrier = 'AA'"
    assert where_columns([Reach("bad", where=both), Reach("good", where=AA)]) == ["carrier", "x"]
    assert json.loads(where_json(both)) == {"carrier": "AA", "x": 2.0}
    assert where_json(()) is None


def test_taint_follows_the_rows_that_are_meant_and_what_their_models_labelled():
    table = rows()
    columns = ["carrier"]
    labels = pa.table(
        {
            "_key": ["k3", "k1"],
            "_source": ["model/1", "model/2"],
            "_object": ["", ""],
            "_event": [30, 40],
            "_known": [31, 41],
            "carrier": ["AA", "UA"],
        }
    )
    parts = [Part.of(table, columns), Part.of(labels, columns)]
    lineages = {
        1: line_of(25, 2),  # learned k0: AA of the bad source
        2: line_of(25, 3, since=2),  # k1 alone: UA
        3: line_of(35, 35, since=25),  # what version 1 labelled
        4: line_of(45, 45, since=36),  # what version 2 labelled
    }
    assert tainted_versions(lineages, parts, [Reach("bad", where=AA)]) == {1, 3}
    united = [Reach("bad", where=(("carrier", "UA"),))]
    assert tainted_versions(lineages, parts, united) == {2, 4}
    excluded = {-1: [Reach("bad", where=AA)]}
    assert tainted_versions(lineages, parts, [Reach("bad", where=AA)], excluded) == set()
    assert np.array_equal(parts[0].mask([]), np.zeros(4, dtype=bool))
