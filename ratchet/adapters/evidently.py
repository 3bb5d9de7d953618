"""Draws the drift report with Evidently, as one page that loads nothing and runs no cell's content.

>>> Evidently().draw(reference, current, {"hour": "number"}).html[:20]    # doctest: +SKIP

Promise: the verdict is made elsewhere (``ratchet.drift``); this only draws. Its cost depends on the
number of columns drawn (about 0.07 CPU seconds each), not on the history.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ratchet.contracts.seams import Report

if TYPE_CHECKING:
    import pandas as pd

METHOD = "jensenshannon"
CATEGORIES = 40  # shown of one column; the rarer ones are drawn together
CHARACTERS = 60  # shown of one category
OTHER, MISSING = "(other)", "(missing)"
# The page needs its own inline script and nothing from anywhere else.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; font-src data:; img-src data: blob:"
)


BANNER = (
    '<p style="font: 16px/1.5 system-ui, sans-serif; margin: 16px 24px; padding: 12px 16px; '
    'border-left: 4px solid #1f6feb; background: #eef4ff; color: #111">{}<br><small>This is what '
    "was decided, weighted by what the champion relies on. The headline below counts columns."
    "</small></p>"
)


class Evidently:
    """The drift reporter on Evidently's data drift preset.

    Args:
        most: columns drawn at most, the first of those given: pass the important ones first.
    """

    def __init__(self, most: int = 40) -> None:
        self.most = most

    def draw(
        self,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        kinds: Mapping[str, str],
        verdict: str = "",
    ) -> Report:
        """A report of the current sample against the reference; give 5,000 rows a side or fewer.

        Args:
            reference, current: hold at least the columns that ``kinds`` names.
            kinds: column to ``number`` or ``category``; drawn in this order, as far as ``most``.
            verdict: what was decided, shown above the drawing, whose own headline counts columns.

        Returns:
            The page, and JSON with ``columns`` (score and method of each) and ``left_out`` (the
            columns that are not drawn, with the reason).
        """
        left_out = dict.fromkeys(list(kinds)[self.most :], f"only {self.most} are drawn")
        frames: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for name, kind in list(kinds.items())[: self.most]:
            pair = _numbers if kind == "number" else _categories
            drawn = pair(reference[name], current[name])
            if drawn is None:
                left_out[name] = "no values on one side"
                continue
            frames[0][name], frames[1][name] = drawn
        drawn_kinds = {name: kinds[name] for name in frames[0]}
        if not drawn_kinds:
            page = "<!DOCTYPE html><html><body>No column has values on both sides.</body></html>"
            return Report(page, json.dumps({"columns": {}, "left_out": left_out}))
        page, columns = _run(*frames, drawn_kinds)
        return Report(_seal(page, verdict), json.dumps({"columns": columns, "left_out": left_out}))


def _run(
    reference: Mapping[str, Any], current: Mapping[str, Any], kinds: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    import pandas as pd
    from evidently import DataDefinition, Dataset
    from evidently import Report as Drawing

    definition = DataDefinition(
        numerical_columns=[n for n, kind in kinds.items() if kind == "number"],
        categorical_columns=[n for n, kind in kinds.items() if kind != "number"],
    )
    old, new = (
        Dataset.from_pandas(pd.DataFrame(dict(side)), data_definition=definition)
        for side in (reference, current)
    )
    with _plain_figures():
        preset = _preset()(columns=list(kinds), num_method=METHOD, cat_method=METHOD)
        snapshot = Drawing([preset], include_tests=False).run(new, old)
        results = _results(snapshot, list(kinds))
        return snapshot.get_html_str(as_iframe=False), results


@lru_cache(maxsize=1)
def _preset() -> Any:
    """Evidently's preset without its metric for each column, which draws every plot a second time
    for a page that does not show it."""
    from evidently.presets import DataDriftPreset

    class DriftTable(DataDriftPreset):  # type: ignore[misc]  # the base is not typed here
        """The preset's page, and the one metric that it starts with."""

        def generate_metrics(self, context: Any) -> Any:
            """The count of drifted columns."""
            return super().generate_metrics(context)[:1]

    return DriftTable


def _results(snapshot: Any, columns: list[str]) -> dict[str, Any]:
    """Score and method of each column: what the drawn table was made from, not computed again."""
    from evidently.legacy.metrics import DataDriftTable

    table = DataDriftTable(columns=columns, num_stattest=METHOD, cat_stattest=METHOD)
    found, _ = snapshot.context.get_legacy_metric(table, None, None)
    return {
        name: {
            "distance": float(column.drift_score),
            "method": str(column.stattest_name),
            "detected": bool(column.drift_detected),
        }
        for name, column in found.drift_by_columns.items()
    }


@contextmanager
def _plain_figures() -> Iterator[None]:
    """No theme: Plotly validates all of it again for each of a hundred figures."""
    import plotly.io

    before = plotly.io.templates.default
    plotly.io.templates.default = "none"
    try:
        yield
    finally:
        plotly.io.templates.default = before


def _seal(page: str, verdict: str) -> str:
    """The page with its data kept from ending the script they stand in, and nothing loaded.

    Evidently writes JSON into a script element without escaping ``<``, so a category named
    ``</script><script>…`` would run. JSON has no raw line breaks: the block ends at the first.
    """
    start = page.index("<script>\n    var ")
    end = page.index(";\n</script>", start)
    data = page[start + len("<script>") : end].replace("<", "\\u003c")
    head = page[:start].replace(
        "<head>", f'<head>\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">', 1
    )
    rest = page[end:]  # the first body tag behind the data is the page's own
    if verdict:
        rest = rest.replace("<body>", f"<body>\n{BANNER.format(html.escape(verdict))}", 1)
    return f"{head}<script>{data}{rest}"


def _numbers(old: pd.Series[Any], new: pd.Series[Any]) -> tuple[Any, Any] | None:
    import numpy as np

    sides = [side.astype("float64").replace([np.inf, -np.inf], np.nan) for side in (old, new)]
    if any(side.notna().sum() == 0 for side in sides):
        return None
    return sides[0], sides[1]


def _categories(old: pd.Series[Any], new: pd.Series[Any]) -> tuple[Any, Any] | None:
    """Both sides with the same readable, harmless names; rare ones together."""
    import pandas as pd

    if not len(old) or not len(new):
        return None
    both = pd.concat([old, new]).value_counts()
    names = {value: _harmless(str(value)) for value in both.index[:CATEGORIES]}
    sides = [
        side.map(lambda v: MISSING if pd.isna(v) else names.get(v, OTHER)).astype("object")
        for side in (old, new)
    ]
    return sides[0], sides[1]


def _harmless(text: str) -> str:
    """Short, without control or direction marks, and escaped: Plotly reads labels as HTML."""
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", "\ufffd", text)
    if len(shown) > CHARACTERS:
        shown = shown[: CHARACTERS - 1] + "…"
    return html.escape(shown, quote=False)
