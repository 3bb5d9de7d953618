"""Laws between columns: found where they hold by nature, not where chance or time makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.profile import InitOptions, infer
from ratchet.profile.laws import laws

START = datetime(2021, 1, 1, tzinfo=UTC)
DISTANCE = {"ab": 120.0, "ac": 310.0, "bc": 95.0, "bd": 700.0, "cd": 512.0, "ad": 288.0}


def routes(n: int = 8000, days: int = 400, seed: int = 3, **columns) -> dict[str, pa.Array]:
    """Journeys: the route gives the distance, the clock gives the hour, dew is below heat."""
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, days * 1440, n))
    moments = [START + timedelta(minutes=int(m)) for m in minutes]
    route = rng.choice(sorted(DISTANCE), n)
    heat = 10 + 8 * np.sin(minutes / 80_000) + rng.normal(0, 5, n)
    made = {
        "at": pa.array(moments, pa.timestamp("us", "UTC")),
        "from": pa.array([r[0] for r in route]),
        "to": pa.array([r[1] for r in route]),
        "distance": pa.array([DISTANCE[r] for r in route]),
        "hour": pa.array([float((m.hour - 5) % 24) for m in moments]),
        "heat": pa.array(heat),
        "dew": pa.array(heat - rng.exponential(3, n)),
        "noise": pa.array(rng.normal(0, 5, n)),
        "era": pa.array([float(i * 40 // n) for i in range(n)]),
        "rate": pa.array([float((i * 40 // n) * 7 % 13) for i in range(n)]),
        "y": pa.array((rng.random(n) < 0.3).astype(int)),
    }
    return {**made, **columns}


def found(columns: dict[str, pa.Array]) -> list[dict]:
    table = pa.table(columns)
    options = InitOptions(name="r", path=Path("r.parquet"), label="y", time="at", window="14d")
    return laws(infer(table, options), table)


def determined(rules: list[dict]) -> list[list[str]]:
    return [r["kwargs"]["column_list"] for r in rules if "known" in r["kwargs"]]


def orders(rules: list[dict]) -> list[tuple[str, str]]:
    kwargs = [r["kwargs"] for r in rules if "column_A" in r["kwargs"]]
    return [(k["column_A"], k["column_B"]) for k in kwargs]


def test_a_route_determines_its_distance_and_the_clock_the_hour():
    rules = found(routes())
    assert ["from", "to", "distance"] in determined(rules)
    assert ["_hour", "hour"] in determined(rules)
    assert orders(rules) == [("heat", "dew")]
    (distance,) = [r for r in rules if r["kwargs"].get("column_list", [""])[-1] == "distance"]
    assert sorted(distance["kwargs"]["known"]) == sorted([*k, v] for k, v in DISTANCE.items())
    assert (
        distance["meta"]["level"] == "row" and "without an exception" in distance["meta"]["reason"]
    )


def test_what_only_time_ties_together_is_no_law():
    """Each era has one rate, but no era ever came back: nothing was ever tested."""
    names = [n for law in determined(found(routes())) for n in law]
    assert "era" not in names and "rate" not in names


def test_less_than_a_year_says_nothing_about_the_calendar():
    rules = found(routes(days=200))
    assert ["from", "to", "distance"] in determined(rules)
    assert not any(law[0].startswith("_") for law in determined(rules))


def test_one_exception_in_the_last_third_and_it_is_no_law():
    columns = routes()
    values = columns["distance"].to_pylist()
    values[-7] *= 2
    assert ["from", "to", "distance"] not in determined(
        found({**columns, "distance": pa.array(values)})
    )
    heat = columns["heat"].to_pylist()
    heat[-7] = columns["dew"][-7].as_py() - 1
    assert orders(found({**columns, "heat": pa.array(heat)})) == []


def test_ranges_that_never_meet_are_no_order():
    columns = routes()
    far = pa.array(np.asarray(columns["noise"]) + 500)
    assert orders(found({**columns, "far": far})) == [("heat", "dew")]


def test_columns_that_always_vary_are_named_and_constant_ones_not():
    rules = found(routes(flag=pa.array([1.0, 2.0] * 4000)))
    varying = [r["kwargs"]["column"] for r in rules if "unique_value_count" in r["type"]]
    assert {"heat", "dew", "distance", "hour"} <= set(varying)
    assert "era" not in varying and "flag" not in varying


@pytest.mark.parametrize(("kept", "named"), [(0, False), (1, False), (2, True)])
def test_a_window_with_few_values_may_not_break_the_rule_that_a_column_varies(kept, named):
    """A gust is measured in few hours: in one window of the sample hardly any are left."""
    columns = routes()
    gust = np.round(np.asarray(columns["noise"]), 1)
    days = np.array([(at - START).days for at in columns["at"].to_pylist()])
    third = np.flatnonzero(days // 14 == 2)
    gust[third] = np.nan
    gust[third[:kept]] = np.arange(kept)
    rules = found({**columns, "gust": pa.array(gust, from_pandas=True)})
    varying = [r["kwargs"]["column"] for r in rules if "unique_value_count" in r["type"]]
    assert ("gust" in varying) is named


@given(seed=st.integers(0, 10_000), missing=st.floats(0, 0.3))
@settings(max_examples=8, deadline=None)
def test_the_sample_keeps_its_laws_whatever_is_missing(seed, missing):
    from ratchet.adapters.known_combinations import agrees

    columns = routes(3000, seed=seed)
    gone = np.random.default_rng(seed).random(3000) < missing
    columns["distance"] = pa.array(np.asarray(columns["distance"]), mask=gone)
    for rule in found(columns):
        if "known" in rule["kwargs"] and not rule["kwargs"]["column_list"][0].startswith("_"):
            kwargs = rule["kwargs"]
            frame = pa.table(columns).to_pandas()[kwargs["column_list"]].dropna()
            assert agrees(frame, kwargs["known"], kwargs["tolerance"]).all()


def test_tiny_samples_have_no_laws():
    rules = found(routes(900))
    assert not determined(rules) and not orders(rules)


@pytest.mark.parametrize("text", [True, False])
def test_known_combinations_pass_the_unlisted_and_refuse_lines_of_another_length(text):
    import pandas as pd

    from ratchet.adapters.known_combinations import agrees

    values = ["x", "y", "z"] if text else [100.0, 100.5, 150.0]
    frame = pd.DataFrame({"a": ["p", "p", "q"], "v": values})
    known = [["p", "x" if text else 100]]
    expected = [True, False, True] if text else [True, True, True]
    assert agrees(frame, known, 0.01).tolist() == expected
    with pytest.raises(ValueError, match="lines of 2"):
        agrees(frame, [["p"]], 0.01)


def test_wide_tables_are_not_sorted_for_each_pair_of_columns(monkeypatch):
    from ratchet.profile import determined as module

    asked = []
    follows = module._follows
    monkeypatch.setattr(module, "_follows", lambda s, t: asked.append(t) or follows(s, t))
    rng = np.random.default_rng(9)
    flags = {f"flag{i}": pa.array(rng.choice(["a", "b"], 8000)) for i in range(12)}
    noise = {f"noise{i}": pa.array(rng.normal(size=8000)) for i in range(12)}
    noise["number"] = pa.array(10**9 + rng.integers(0, 5000, 8000))  # the same within 1 %
    rules = found(routes(**flags, **noise))
    assert ["from", "to", "distance"] in determined(rules)
    assert len(asked) < 100  # of 2,290 pairs of a source and a target
