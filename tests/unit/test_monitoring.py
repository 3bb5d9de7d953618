"""The dashboard and the alert rules ask for metrics that are really exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ratchet.adapters.prometheus import as_text
from ratchet.contracts.readings import FAMILIES
from ratchet.meters import of_decisions
from tests.unit.test_meters import done as lines
from tests.unit.test_meters import made

INFRA = Path(__file__).parents[2] / "infra"
RULES = INFRA / "prometheus" / "ratchet.rules.yml"
NAME = re.compile(r"\bratchet_[a-z0-9_]+")
PROMTOOL = shutil.which("promtool") or ""
DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "observe.md"


def exported() -> set[str]:
    """Every name that a scrape may hold: a histogram has three."""
    names = set()
    for family in FAMILIES:
        ends = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
        names |= {family.name + end for end in ends}
    return names


def rules() -> list[dict[str, Any]]:
    return [r for g in yaml.safe_load(RULES.read_text())["groups"] for r in g["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((INFRA / "grafana" / "ratchet.json").read_text())
    return found


def asked_by_the_dashboard() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def test_every_metric_that_is_asked_for_is_exported() -> None:
    asked = [rule["expr"] for rule in rules()] + list(asked_by_the_dashboard())
    names = {name for expr in asked for name in NAME.findall(expr)}
    assert len(names) > 20
    assert names <= exported()


def test_the_dashboard_shows_every_metric_and_the_docs_name_each() -> None:
    shown = {name for expr in asked_by_the_dashboard() for name in NAME.findall(expr)}
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    quiet = {"ratchet_last_cycle_timestamp_seconds", "ratchet_window_length_seconds"}
    assert bases | quiet == {family.name for family in FAMILIES}
    assert {family.name for family in FAMILIES} <= set(NAME.findall(DOCS.read_text()))


def test_labels_that_are_asked_for_are_there() -> None:
    labels = {family.name: set(family.labels) for family in FAMILIES}
    for expr in [rule["expr"] for rule in rules()] + list(asked_by_the_dashboard()):
        for name, inside in re.findall(r"(ratchet_[a-z0-9_]+)\{([^}]*)\}", expr):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            wanted = set(re.findall(r"(\w+)\s*=", inside))
            assert wanted <= labels[base if base in labels else name], expr


def test_panels_lie_apart_and_every_alert_says_what_to_do() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & mine and max(x for x, _ in mine) < 24, panel["title"]
        cells |= mine
    for rule in rules():
        assert rule["annotations"]["summary"] and rule["annotations"]["next"]
        assert rule["labels"]["severity"] in ("warning", "critical")


@pytest.mark.skipif(not PROMTOOL, reason="needs promtool (Debian: prometheus)")
@pytest.mark.parametrize(
    "check",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "ratchet.rules.yml"],
        ["test", "rules", "ratchet.test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_agrees(check: list[str]) -> None:
    done = subprocess.run(
        [PROMTOOL, *check], cwd=RULES.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not PROMTOOL, reason="needs promtool (Debian: prometheus)")
def test_promtool_reads_the_text_without_complaint() -> None:
    text = as_text(of_decisions("flights", lines(made(0, seconds={"gate": 7.0}))))
    check = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")
