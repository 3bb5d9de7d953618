"""What every drift reporter must do."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from ratchet.adapters.evidently import MISSING, OTHER, Evidently
from ratchet.contracts.seams import DriftReporter

pytestmark = pytest.mark.slow  # the import of Evidently alone takes seconds
EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(params=[Evidently])
def reporter(request: pytest.FixtureRequest) -> Iterator[DriftReporter]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield request.param()


def frame(seed: int, shift: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "hour": random.normal(shift, 1, 300),
            "carrier": random.choice(["AA", "UA", "=cmd()", EVIL], 300),
        }
    )


KINDS = {"hour": "number", "carrier": "category"}


def test_the_report_is_one_page_that_loads_nothing_and_json_that_names_each_column(
    reporter: DriftReporter,
) -> None:
    report = reporter.draw(frame(0), frame(1, shift=2.0), KINDS)
    content = json.loads(report.json)
    assert content["columns"]["hour"]["detected"] is True
    assert content["columns"]["carrier"]["detected"] is False
    assert content["left_out"] == {}
    assert "<!DOCTYPE html>" in report.html
    assert '"Content-Security-Policy" content="default-src \'none\'' in report.html
    loads = r"""<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=|@import|url\((?!data:)"""
    outside_scripts = re.sub(r"(?s)<script>.*?</script>", "", report.html)
    assert not re.search(loads, outside_scripts)


def test_what_a_cell_says_cannot_run(reporter: DriftReporter) -> None:
    old, new = frame(0), frame(1)
    old[EVIL], new[EVIL] = old["hour"], new["hour"]
    page = reporter.draw(old, new, {**KINDS, EVIL: "number"}).html
    assert EVIL not in page
    data = page[page.index("<script>") + 8 :].split("</script>", 1)[0]
    assert "<" not in data
    assert "alert(1)" in data  # shown, as text


def test_a_cell_that_plotly_would_read_as_a_link_is_text(reporter: DriftReporter) -> None:
    old, new = frame(0), frame(1)
    old["carrier"] = '<a href="https://elsewhere.example">x</a>\u202e'
    page = reporter.draw(old, new, KINDS).html
    assert "\\u003ca href" not in page
    assert "&lt;a href" in page
    assert "\u202e" not in page and "\\u202e" not in page


def test_columns_without_values_are_left_out_and_named(reporter: DriftReporter) -> None:
    old, new = frame(0), frame(1)
    old["empty"], new["empty"] = np.nan, 1.0
    old["endless"], new["endless"] = np.inf, 1.0
    old["blank"], new["blank"] = None, None
    old["same"], new["same"] = 1.0, 1.0
    kinds = {**KINDS, "empty": "number", "endless": "number", "blank": "category", "same": "number"}
    content = json.loads(reporter.draw(old, new, kinds).json)
    assert set(content["left_out"]) == {"empty", "endless"}
    assert content["columns"]["same"]["distance"] == 0
    nothing = reporter.draw(old, new, {"empty": "number"})
    assert "No column has values on both sides" in nothing.html
    assert json.loads(nothing.json)["columns"] == {}
    assert json.loads(reporter.draw(old.head(0), new, KINDS).json)["columns"] == {}


def test_many_and_long_categories_are_cut_and_rare_ones_drawn_together(
    reporter: DriftReporter,
) -> None:
    old, new = frame(0), frame(1)
    old["carrier"] = [f"{i:03d}" + "x" * 10_000 for i in range(300)]
    new.loc[0, "carrier"] = None
    page = reporter.draw(old, new, KINDS).html
    assert "x" * 100 not in page[: page.index("</script>")]
    assert OTHER in page
    assert MISSING in page


def test_only_the_first_columns_are_drawn() -> None:
    content = json.loads(Evidently(most=1).draw(frame(0), frame(1), KINDS).json)
    assert list(content["columns"]) == ["hour"]
    assert content["left_out"] == {"carrier": "only 1 are drawn"}


def test_the_plots_theme_is_put_back() -> None:
    import plotly.io

    before = plotly.io.templates.default
    Evidently().draw(frame(0), frame(1), {"hour": "number"})
    assert plotly.io.templates.default == before


def test_the_verdict_stands_above_the_drawing_and_cannot_run(reporter: DriftReporter) -> None:
    page = reporter.draw(frame(0), frame(1), KINDS, f"WARN: {EVIL} 9 of 23 moved").html
    body = page[page.index("<body>\n") :]
    assert "9 of 23 moved" in body[:600]
    assert EVIL not in page
