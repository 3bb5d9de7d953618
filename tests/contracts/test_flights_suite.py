"""expectations/flights.json on the real flights of 2013, as they are and as they must not be."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ratchet.adapters.expectations import GreatExpectations
from ratchet.adapters.nycflights import CELSIUS, POISONED, Week, weeks, year
from ratchet.contracts.columns import EVENT, KEY
from ratchet.contracts.definition import load
from ratchet.contracts.evidence import Verdict
from ratchet.validate import judge_rows, suite_frame, verdict

HOME = Path(__file__).parents[2]
DEFINITION = load(HOME / "pipelines" / "flights.toml")
SUITE = json.loads((HOME / DEFINITION.validate_.suite).read_text(encoding="utf-8"))


def frame_of(week: Week) -> pd.DataFrame:
    """What the suite sees of a week."""
    kinds = DEFINITION.features
    arrow = {"number": pa.float64(), "category": pa.string()}
    rows = pa.table(
        {
            KEY: week.features["flight_id"],
            EVENT: week.features["scheduled_at"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()),
            **{name: week.features[name].cast(arrow[kind]) for name, kind in kinds.items()},
        }
    )
    return suite_frame(rows, DEFINITION)


def judge(frame: pd.DataFrame):
    results = GreatExpectations().run(SUITE, frame)
    return judge_rows(results, len(frame), DEFINITION)


@lru_cache(maxsize=1)
def january() -> pd.DataFrame:
    return frame_of(weeks(1)[0])


def test_each_rule_has_a_level_and_a_reason():
    rules = SUITE["expectations"]
    assert len(rules) >= 25
    for rule in rules:
        assert rule["meta"]["level"] in ("row", "batch")
        assert len(rule["meta"]["reason"]) > 4, rule
    assert {r["meta"]["level"] for r in rules} == {"row", "batch"}


@pytest.mark.slow
def test_weeks_of_every_season_pass_but_not_the_day_without_weather():
    """The weather table ends on 30 December, so the last day has none: that batch is blocked."""
    verdicts, rejected = [], 0
    for week in list(year(damage=False))[::4]:  # the 53rd, which is that day, is one of them
        found = judge(frame_of(week))
        verdicts.append(verdict(found.evidence))
        rejected += int(found.rejected.sum())
    assert verdicts[:-1] == [Verdict.PASS] * 13
    assert verdicts[-1] is Verdict.BLOCK
    assert rejected == 0


@pytest.mark.slow
def test_the_two_damaged_weeks_of_the_demo_are_blocked_and_say_why():
    damaged = weeks(CELSIUS + 1, damage=True)
    poisoned = judge(frame_of(damaged[POISONED]))
    assert verdict(poisoned.evidence) is Verdict.BLOCK
    forged = int(poisoned.rejected.sum())
    assert 0.8 < forged / (0.12 * len(poisoned.first) / 1.12) <= 1  # real rows are not rejected
    celsius = judge(frame_of(damaged[CELSIUS]))
    assert verdict(celsius.evidence) is Verdict.BLOCK
    assert any("Celsius" in e.arithmetic for e in celsius.evidence if e.verdict is Verdict.BLOCK)


def to_celsius(values: pd.Series) -> pd.Series:
    return (values - 32) / 1.8


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda d: {"temp": to_celsius(d.temp)}, id="celsius"),
        pytest.param(lambda d: {"temp": to_celsius(d.temp) + 273.15}, id="kelvin"),
        pytest.param(lambda d: {"distance": d.distance * 1.609344}, id="kilometres"),
        pytest.param(lambda d: {"distance": d.distance * 0.868976}, id="nautical miles"),
        pytest.param(lambda d: {"wind_speed": d.wind_speed * 0.44704}, id="metres per second"),
        pytest.param(lambda d: {"humid": d.humid / 100}, id="humidity as a share"),
        pytest.param(lambda d: {"pressure": d.pressure * 0.02953}, id="inches of mercury"),
        pytest.param(lambda d: {"hour": (d.hour + 12) % 24}, id="hours shifted"),
        pytest.param(lambda d: {"temp": d.dewp, "dewp": d.temp}, id="swapped columns"),
        pytest.param(lambda d: {"seats": d.engines, "engines": d.seats}, id="swapped counts"),
        pytest.param(lambda d: {"temp": d.temp.where(d.index % 3 > 0)}, id="a third missing"),
        pytest.param(lambda d: {"carrier": d.carrier.where(d.index % 3 > 0)}, id="no carrier"),
        pytest.param(lambda d: {"temp": d.temp.where(d.index % 9 > 0, -999)}, id="sentinel"),
        pytest.param(lambda d: {"carrier": d.carrier.str.lower()}, id="lower case"),
        pytest.param(lambda d: {"seats": d.seats * np.inf}, id="infinite"),
        pytest.param(lambda d: {"_key": d._key.where(d.index % 9 > 0, d._key[0])}, id="same key"),
    ],
)
def test_other_damage_is_blocked(damage):
    frame = january()
    assert verdict(judge(frame).evidence) is Verdict.PASS
    assert verdict(judge(frame.assign(**damage(frame))).evidence) is Verdict.BLOCK


@pytest.mark.slow
def test_half_of_the_feed_or_twice_the_feed_is_blocked():
    frame = january()
    one_airport_silent = frame[frame.origin != "LGA"]
    assert verdict(judge(one_airport_silent).evidence) is Verdict.BLOCK
    again = frame.assign(_key=frame._key.str.replace("2013", "2014"))
    assert verdict(judge(pd.concat([frame, again])).evidence) is Verdict.BLOCK
