"""Decisions and lineage survive JSON; the digest covers what must not differ."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import (
    Decision,
    Lineage,
    canonical_json,
    cycle_key,
    digest_of,
)
from tests.unit.test_evidence import evidence

text = st.text(max_size=12)
integers = st.integers(-(2**62), 2**62)
floats = st.floats(allow_nan=False, allow_infinity=False)
numbers = st.dictionaries(text, floats, max_size=3)
scalars = st.none() | integers | floats | text | st.booleans()

lineages = st.builds(
    Lineage,
    pipeline=text,
    window=text,
    as_of=integers,
    recipe=st.dictionaries(text, scalars, max_size=3),
    seed=integers,
    threads=st.integers(1, 64),
    accepted_version=integers,
    labels_version=integers,
    train_from=st.none() | integers,
    train_before=integers,
    rows=integers,
    data_digest=text,
    definition_digest=text,
    code_digest=text,
    parent=st.none() | integers,
    model_digest=text,
)
decisions = st.builds(
    Decision,
    pipeline=text,
    window=text,
    window_index=integers,
    as_of=integers,
    cycle_key=text,
    definition_digest=text,
    outcome=st.sampled_from(["promoted", "held", "blocked", "no_data", "error"]),
    reasons=st.lists(text, max_size=3).map(tuple),
    evidence=st.lists(evidence, max_size=3).map(tuple),
    rows_in=integers,
    drift=st.dictionaries(text, scalars, max_size=3),
    recipe=st.none() | text,
    recipe_losses=numbers,
    candidate=numbers,
    champion=numbers,
    champion_before=st.none() | integers,
    champion_after=st.none() | integers,
    lineage=st.none() | lineages,
    seconds=numbers,
    peak_mib=floats,
    run_id=st.none() | text,
    links=st.dictionaries(text, text, max_size=2),
)
PLAIN = Decision("p", "w", 0, 0, "k", "d", "held", ("because",))


@given(lineages)
def test_a_lineage_survives_json(lineage: Lineage) -> None:
    assert Lineage.from_json(json.loads(canonical_json(lineage.as_json()))) == lineage


@given(decisions)
def test_a_decision_survives_json(decision: Decision) -> None:
    back = Decision.from_json(json.loads(canonical_json(decision.as_json())))
    assert back == decision
    assert back.digest == decision.digest


def test_keys_of_newer_releases_are_ignored() -> None:
    written = {**PLAIN.as_json(), "colour": "red"}
    assert Decision.from_json(written) == PLAIN
    lineage = {f.name: 0 for f in fields(Lineage)} | {"recipe": {}, "members": [], "level": []}
    assert Lineage.from_json({**lineage, "colour": "red"}) == Lineage.from_json(lineage)


def test_a_decision_of_an_older_release_can_be_read() -> None:
    needed = ("pipeline", "window", "window_index", "as_of", "cycle_key", "definition_digest")
    written = {k: v for k, v in PLAIN.as_json().items() if k in (*needed, "outcome", "reasons")}
    assert Decision.from_json(written) == PLAIN


@given(decisions, numbers, floats, st.none() | text, st.dictionaries(text, text, max_size=2))
def test_the_digest_ignores_what_describes_one_execution(
    decision: Decision, seconds: Any, peak: float, run_id: str | None, links: Any
) -> None:
    other = replace(decision, seconds=seconds, peak_mib=peak, run_id=run_id, links=links)
    assert other.digest == decision.digest


VOLATILE = {"seconds", "bill", "peak_mib", "run_id", "links"}
OTHER: dict[str, Any] = {
    "evidence": (Evidence("x", Verdict.PASS, "y"),),
    "reasons": ("another",),
    "lineage": Lineage("p", "w", 0, {}, 0, 1, 0, 0, None, 0, 0, "d", "d", "c", None),
    "champion_before": 3,
    "champion_after": 3,
    "recipe": "recent",
    "run_id": "r",
}


@pytest.mark.parametrize("name", [f.name for f in fields(Decision)])
def test_the_digest_covers_every_other_field(name: str) -> None:
    old = getattr(PLAIN, name)
    plain = {str: "x", int: 7, float: 7.0, dict: {"x": 1}}
    other = replace(PLAIN, **{name: OTHER.get(name, plain.get(type(old)))})
    assert getattr(other, name) not in (None, old)
    assert (other.digest == PLAIN.digest) == (name in VOLATILE)


def test_canonical_json_does_not_depend_on_order_and_takes_no_nan() -> None:
    assert canonical_json({"b": 1, "a": [1, 2]}) == '{"a":[1,2],"b":1}'
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])
    with pytest.raises(ValueError, match="Out of range float"):
        canonical_json({"a": float("nan")})


def test_a_cycle_key_names_pipeline_window_and_definition() -> None:
    keys = {
        cycle_key(p, w, d) for p in ("a", "b") for w in (-1, 0) for d in ("0" * 64, "1" + "0" * 63)
    }
    assert len(keys) == 8
    assert cycle_key("flights", 7, "abcdef" + "0" * 58) == "flights/7/abcdef0000000000"
