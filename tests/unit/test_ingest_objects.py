"""Roles, the ledger, copies of keys, lines of quarantine and the way back out of it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts import columns as c
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.seams import ObjectRef
from ratchet.errors import Refused
from ratchet.ingest import (
    RowReject,
    dedupe,
    find_keys,
    new_objects,
    object_line,
    payload_json,
    payload_row,
    quarantine_lines,
    quarantined_object,
    reject_rows,
    role_of,
    rows_from_payload,
    seen_content,
)
from ratchet.ingest.values import shown
from tests.ingest_kit import T0, definition, features, labels, parse, tick, together

SCHEMA = c.rows_schema({"x": "number", "c": "category"})


def ref(key: str, etag: str = "e") -> ObjectRef:
    return ObjectRef(key, etag, 1, T0)


def entered(key: str, etag: str, status: str, sha256: str, role: str = "features") -> pa.Table:
    return object_line(
        ref(key, etag), source="in", sha256=sha256, role=role, status=status, rows=1, reason="",
        window=0, at=T0,
    )  # fmt: skip


# Roles


def test_roles() -> None:
    apart = definition()
    assert role_of("features/2024/a.parquet", apart) == "features"
    assert role_of("labels/a.parquet", apart) == "labels"
    assert role_of("other/a.parquet", apart) is None
    beside = together()
    assert role_of("any/where.csv", beside) == "both"
    overlapping = definition(source={"features": "**", "labels": "labels/**"})
    assert role_of("labels/a.csv", overlapping) == "labels"
    assert role_of("labelsx/a.csv", overlapping) == "features"


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.csv", ["a.csv", ".csv"], ["d/a.csv", "a.csv2"]),
        ("**/*.csv", ["a.csv", "d/e/a.csv"], ["a.parquet"]),
        ("d/**", ["d/a", "d/e/f\ng"], ["d", "e/d/a"]),
        ("a?.[x]+", ["ab.[x]+"], ["a/.[x]+", "ab.x"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    of = together(source={"features": glob})
    assert all(role_of(key, of) == "both" for key in yes)
    assert all(role_of(key, of) is None for key in no)


# The ledger


def test_new_objects_against_a_ledger() -> None:
    listed = [ref("a"), ref("b"), ref("c", "2"), ref("d")]
    assert new_objects(listed, pa.table({})) == listed
    ledger = pa.concat_tables(
        [
            entered("a", "e", "landed", "s1"),
            entered("b", "e", "quarantined", "s2"),
            entered("c", "1", "duplicate", "s1"),
            entered("d", "e", "changed", ""),
        ]
    )
    assert [r.key for r in new_objects(listed, ledger)] == ["c", "d"]
    assert seen_content(ledger) == {("features", "s1"): "a", ("features", "s2"): "b"}
    assert seen_content(pa.table({})) == {}


# Copies of keys


def parsed_rows(**changes: Any) -> pa.Table:
    found = parse(features(len(next(iter(changes.values()))), **changes)).rows
    assert found is not None
    return found


def test_dedupe_without_copies_gives_the_batch_back() -> None:
    batch = parsed_rows(x=[1.0, 2.0])
    assert dedupe(batch, pa.table({})) == (batch, (), 0)
    assert dedupe(batch.slice(0, 0), batch)[0].num_rows == 0


def test_dedupe_compares_the_event_and_every_feature() -> None:
    batch = parsed_rows(id=["a", "b", "d"], x=[1.0, None, 1.0])
    same_but = parsed_rows(id=["a", "b", "d"], x=[1.0, None, 2.0])
    later = parsed_rows(
        id=["a"], t=pa.array([T0.replace(hour=5)], pa.timestamp("us", "UTC")), x=[1.0]
    )
    kept, rejected, dropped = dedupe(batch, same_but)
    assert (kept.num_rows, [r.key for r in rejected], dropped) == (0, ["d"], 2)
    kept, rejected, dropped = dedupe(batch, later)
    assert ([r.key for r in rejected], dropped) == (["a"], 0)
    assert rejected[0].object == batch[c.OBJECT][0].as_py()


def test_dedupe_of_labels_compares_the_label_alone() -> None:
    first = parse(labels(3), "labels/a.parquet").labels
    again = parse(
        labels(3, y=[0, 0, 0], t=pa.array([T0.replace(day=2)] * 3)), "labels/b.parquet"
    ).labels
    assert first is not None and again is not None
    kept, rejected, dropped = dedupe(again, first)
    assert (kept.num_rows, dropped) == (0, 2)
    assert [(r.kind, r.key, r.payload) for r in rejected] == [("label", "k1", {c.LABEL: 0.0})]


cells = st.tuples(st.sampled_from("abc"), st.sampled_from([1.0, 2.0, None]))


@settings(max_examples=60)
@given(st.lists(cells, max_size=8), st.lists(cells, max_size=3, unique_by=lambda row: row[0]))
def test_dedupe_leaves_one_row_a_key_and_accounts_for_every_row(
    batch: list[tuple[str, float | None]], earlier: list[tuple[str, float | None]]
) -> None:
    def table(rows: list[tuple[str, float | None]]) -> pa.Table:
        return pa.Table.from_pylist(
            [
                {c.KEY: key, c.EVENT: 0, c.KNOWN: 0, c.WINDOW: 0, c.SOURCE: "", c.OBJECT: "",
                 c.ROW: i, "x": x, "c": None}
                for i, (key, x) in enumerate(rows)
            ],
            SCHEMA,
        )  # fmt: skip

    kept, rejected, dropped = dedupe(table(batch), table(earlier))
    keys = kept[c.KEY].to_pylist()
    before = dict(earlier)
    assert len(keys) + len(rejected) + dropped == len(batch)
    assert len(set(keys)) == len(keys)
    assert not set(keys) & set(before)
    for key in "abc":
        values = {x for k, x in batch if k == key}
        conflicting = sum(r.key == key for r in rejected)
        if key in before:
            assert conflicting == sum(k == key and x != before[key] for k, x in batch)
        else:
            assert (key in keys) == (len(values) == 1)
            assert conflicting == (sum(k == key for k, _ in batch) if len(values) > 1 else 0)


def test_find_keys() -> None:
    history = pa.chunked_array([["a", "b"], ["c", "a"]])
    assert find_keys(history, pa.chunked_array([["a"], ["z"]])).tolist() == [
        True,
        False,
        False,
        True,
    ]


# Quarantine


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(),
    st.sampled_from(["\0", "\u202e", "\ud800", "=cmd()", "z" * 100_000, "inf", "nan"]),
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=5), anything, max_size=5))
def test_a_payload_comes_back_as_it_went_in(row: dict[str, Any]) -> None:
    text = payload_json(row)
    assert text.isascii()
    back = payload_row(text)
    assert back == row
    assert {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in row.items()}


def test_a_payload_of_other_values_is_readable() -> None:
    row = {
        "t": datetime(2024, 1, 1, tzinfo=UTC),
        "d": date(2024, 1, 1),
        "n": float("nan"),
        "l": [1],
    }
    back = payload_row(payload_json(row))
    assert (back["t"], back["d"], back["l"]) == ("2024-01-01T00:00:00+00:00", "2024-01-01", "[1]")
    assert back["n"] != back["n"]


finite = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
words = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"])), st.just("\0\u202e"))


@settings(max_examples=40)
@given(st.lists(st.tuples(finite, words), min_size=1, max_size=5))
def test_rows_come_out_of_quarantine_as_they_went_in(cells: list[tuple[float | None, Any]]) -> None:
    table = pa.Table.from_pylist(
        [
            {c.KEY: f"k{i}", c.EVENT: i, c.KNOWN: i + 1, c.WINDOW: 3, c.SOURCE: "in",
             c.OBJECT: "s", c.ROW: i, "x": x, "c": word}
            for i, (x, word) in enumerate(cells)
        ],
        SCHEMA,
    )  # fmt: skip
    lines = quarantine_lines(
        reject_rows(table, "batch", "suite", "the batch is blocked"),
        window=3, window_label="w", at=T0,
    )  # fmt: skip
    assert lines.schema.equals(c.quarantine_schema())
    assert rows_from_payload(lines, SCHEMA).equals(table)
    released = rows_from_payload(lines, SCHEMA, known=99, window=7)
    assert set(released[c.KNOWN].to_pylist()) == {99}
    assert set(released[c.WINDOW].to_pylist()) == {7}


def test_labels_come_out_of_quarantine_too() -> None:
    found = parse(labels(2), "labels/a.parquet").labels
    assert found is not None
    rejects = reject_rows(found, "label", "conflicting_key", ["one", "two"])
    lines = quarantine_lines(rejects, window=1, window_label="w", at=T0)
    restored = rows_from_payload(lines, c.labels_schema(), window=1)
    assert restored.equals(found)
    assert lines["reason"].to_pylist() == ["one", "two"]


def test_raw_rows_are_typed_when_they_are_released() -> None:
    text = "id,t,x,c\n" + "".join(
        f"k{i},2024-01-01,{x},a\0\n" for i, x in enumerate(["1.5", "", "nan"])
    )
    rejected = parse(text, "features/a.csv").rejected
    lines = quarantine_lines(rejected, window=0, window_label="w", at=T0)
    assert rows_from_payload(lines, SCHEMA)["x"].to_pylist() == [1.5, None, None]
    base = {c.KEY: "k", c.EVENT: 1, c.KNOWN: 1, c.WINDOW: 0, c.SOURCE: "s", c.OBJECT: "o", c.ROW: 0}
    for value, expected in ((True, "true"), (3, "3"), (4.0, "4"), (None, None), ("u", "u")):
        line = {**base, "payload": payload_json({"x": None, "c": value})}
        table = pa.Table.from_pylist([line], c.quarantine_schema())
        assert rows_from_payload(table, SCHEMA)["c"].to_pylist() == [expected]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({c.KEY: None}, r"it has no _key, so it cannot be released; discard it"),
        ({c.EVENT: None, c.KNOWN: None}, "no _event, _known"),
        ({"payload": payload_json({"x": float("inf"), "c": "u"})}, "x = inf: expected a finite"),
        ({"payload": payload_json({"x": "abc", "c": "u"})}, "x = 'abc'"),
        ({"payload": payload_json({"x": 1, "c": 0.5})}, "c = 0.5: expected text or an integer"),
        ({"payload": payload_json({"line": "a,b"})}, "not read as far as x"),
        ({"payload": None}, "not read as far as x"),
    ],
)
def test_what_can_never_be_learned_from_is_not_released(
    change: dict[str, Any], message: str
) -> None:
    line = {c.KEY: "k", c.EVENT: 1, c.KNOWN: 1, c.WINDOW: 0, c.SOURCE: "s", c.OBJECT: "o", c.ROW: 4,
            "object_key": "a.csv", "payload": payload_json({"x": 1, "c": "u"})}  # fmt: skip
    table = pa.Table.from_pylist([{**line, **change}], c.quarantine_schema())
    with pytest.raises(Refused, match=message) as caught:
        rows_from_payload(table, SCHEMA)
    assert str(caught.value).startswith("row 4 of 'a.csv': ")


def test_quarantine_lines_name_entry_evidence_and_provenance() -> None:
    rejects = parse(features(3, x=[float("inf"), float("inf"), 1.0])).rejected
    lines = quarantine_lines(
        rejects, window=4, window_label="2024-01-29", at=T0, by="me"
    ).to_pylist()
    assert {line["entry"] for line in lines} == {"2024-01-29/row/not_finite"}
    first = lines[0]
    assert first["object_key"] == "features/a.parquet"
    assert (first["status"], first[c.WINDOW], first["by"], first["at"]) == (
        "quarantined", 4, "me", T0,
    )  # fmt: skip
    assert Evidence.from_json(json.loads(first["evidence"])) == Evidence(
        "ingest.not_finite", Verdict.BLOCK, "2 rows > 0 allowed", 2, 0
    )
    given_evidence = Evidence("validate.x", Verdict.BLOCK, "x is infinite", 1.0)
    lines = quarantine_lines(
        rejects[:1], window=4, window_label="w", at=T0, evidence={"not_finite": given_evidence}
    ).to_pylist()
    assert "x is infinite" in lines[0]["evidence"]
    assert quarantine_lines([], window=0, window_label="w", at=T0).num_rows == 0


def test_a_quarantined_object_is_named_by_its_content_or_its_key() -> None:
    line = quarantined_object(
        "a.csv", "unreadable_object", "truncated", source="in", window=2, at=T0, sha256="ab" * 32
    )
    assert line.schema.equals(c.quarantine_schema())
    found = line.to_pylist()[0]
    assert (found["entry"], found["kind"], found[c.OBJECT]) == (
        "object/" + "ab" * 6,
        "object",
        "ab" * 32,
    )
    unsafe = quarantined_object(
        "p//q", "unsafe_key", "why", source="in", window=2, at=T0
    ).to_pylist()[0]
    assert len(unsafe["entry"]) == len("object/") + 12
    assert unsafe[c.OBJECT] is None


def test_an_object_line_fits_the_ledger() -> None:
    line = entered("a", "e", "landed", "s1")
    assert line.schema.equals(c.objects_schema())
    assert line.to_pylist()[0]["arrived"] == T0


def test_values_are_shown_short_and_plain() -> None:
    assert shown("a\u202eb\0") == "'a\\u202eb\\x00'"
    assert len(shown("x" * 10**7)) == 60
    assert shown(1.5) == "1.5"
    reject = RowReject("row", "check", "reason", 0, {})
    assert reject.key is None and tick(T0) > 0
