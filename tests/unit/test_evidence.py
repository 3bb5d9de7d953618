"""No evidence never passes, and the worst verdict counts."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.evidence import Evidence, Verdict, worst

verdicts = st.sampled_from(list(Verdict))
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
evidence = st.builds(
    Evidence,
    check=st.text(min_size=1),
    verdict=verdicts,
    arithmetic=st.text(),
    measured=numbers,
    threshold=numbers,
    details=st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), max_size=3),
)


def test_the_order_of_severity() -> None:
    ordered = [
        Verdict.PASS,
        Verdict.WARN,
        Verdict.INCONCLUSIVE,
        Verdict.BLOCK,
        Verdict.ERROR,
    ]
    assert sorted(Verdict, key=lambda v: v.severity) == ordered
    assert [v.severity for v in ordered] == [0, 1, 2, 3, 4]


def test_only_pass_and_warn_let_through() -> None:
    assert [v for v in Verdict if v.lets_through] == [Verdict.PASS, Verdict.WARN]


def test_no_evidence_never_passes() -> None:
    assert worst([]) is Verdict.INCONCLUSIVE
    assert not worst([]).lets_through


@given(st.lists(verdicts, min_size=1))
def test_one_bad_verdict_stops_all(found: list[Verdict]) -> None:
    assert worst(found) in found
    assert worst(found).lets_through == all(v.lets_through for v in found)
    assert worst(reversed(found)) is worst(found)


@given(verdicts, st.lists(verdicts, min_size=1))
def test_more_evidence_never_improves_a_verdict(more: Verdict, found: list[Verdict]) -> None:
    assert worst([*found, more]).severity >= worst(found).severity


@given(evidence)
def test_evidence_survives_json(one: Evidence) -> None:
    assert Evidence.from_json(json.loads(json.dumps(one.as_json(), allow_nan=False))) == one


@given(st.sampled_from([float("nan"), float("inf"), float("-inf")]))
def test_numbers_that_json_cannot_hold_become_nothing(number: float) -> None:
    one = Evidence("x", Verdict.ERROR, "could not measure", number, number)
    text = json.dumps(one.as_json(), allow_nan=False)
    back = Evidence.from_json(json.loads(text))
    assert (back.measured, back.threshold) == (None, None)
    assert back.verdict is Verdict.ERROR


def test_numbers_in_the_details_that_json_cannot_hold_become_nothing_too() -> None:
    details = {"bounds": [0.5, float("inf")], "deep": {"mean": float("nan")}, "n": 3}
    text = json.dumps(Evidence("x", Verdict.WARN, "y", details=details).as_json(), allow_nan=False)
    assert json.loads(text)["details"] == {"bounds": [0.5, None], "deep": {"mean": None}, "n": 3}
