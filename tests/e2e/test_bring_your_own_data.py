"""``ratchet init`` on data nobody prepared, then the loop as it was written, for each objective."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from flows.retrain import run_windows
from ratchet.cli.start import init
from ratchet.contracts.columns import ACCEPTED, LABELS
from ratchet.contracts.lineage import Decision
from ratchet.register import describe
from ratchet.settings import settings
from tasks import windows
from tasks.verify import verify
from tasks.workspace import Workspace, open_workspace
from tests.streams import quick

pytestmark = pytest.mark.slow

START = datetime(2024, 3, 4, tzinfo=UTC)


@dataclass
class Outcome:
    """What ``init`` said and what the loop then made of it."""

    said: str
    workspace: Workspace
    made: list[Decision] = field(default_factory=list)

    @property
    def promoted(self) -> list[Decision]:
        return [d for d in self.made if d.outcome == "promoted"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RATCHET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RATCHET_ROOT", str(tmp_path / "tables"))
    monkeypatch.setenv("RATCHET_STATE", str(tmp_path / "state"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def start(path: Path, *options: str) -> Outcome:
    """``ratchet init PATH ...``, then every window."""
    result = CliRunner().invoke(init, [str(path), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    name = options[options.index("--name") + 1]
    assert result.output.rstrip().endswith(f"ratchet backfill {name}")
    space = quick(open_workspace(name))
    outcome = Outcome(result.output, space)
    outcome.made = list(run_windows(space, windows.undecided(space, None, None)))
    return outcome


def check(outcome: Outcome, headline: str, at_least: float, rows: int) -> None:
    """What holds for every objective."""
    made, space = outcome.made, outcome.workspace
    blocked = [d for d in made if any(not e.verdict.lets_through for e in _of_data(d))]
    assert blocked == [], [d.reasons for d in blocked]
    assert sum(d.accepted for d in made) == space.tables.read(ACCEPTED).num_rows == rows
    assert outcome.promoted, [d.reasons for d in made]
    assert all(d.candidate[headline] > at_least for d in outcome.promoted)
    champion = space.registry.alias(space.name, "champion")
    assert champion is not None
    assert champion.version == made[-1].champion_after
    assert [e.verdict for e in verify(space, champion.version)] == ["PASS"] * 5
    for decision in made:
        page = describe(decision)
        assert page.startswith("## ")
        assert len(page) <= 5000
    page = describe(outcome.promoted[0])
    assert "is the first champion" in page
    assert headline.replace("_", "\\_") in page
    after = made[made.index(outcome.promoted[0]) + 1 :]
    assert after, "a cycle after the first promotion compares with the champion"
    assert all(d.drift["verdict"] in ("PASS", "WARN") for d in after)
    assert all(headline in d.champion for d in after if d.candidate)
    assert any(e.check == "labels.agreement" for d in after for e in d.evidence)


def _of_data(decision: Decision):
    return [e for e in decision.evidence if not e.check.startswith(("gate.", "register."))]


def test_binary_from_csv_with_naive_times(home: Path) -> None:
    rng, n = np.random.default_rng(1), 4000
    x, minutes = rng.normal(size=n), np.sort(rng.integers(0, 70 * 1440, n))
    channel = rng.choice(["web", "shop", "phone"], n)
    chance = 1 / (1 + np.exp(-(2.0 * x + np.where(channel == "shop", 1.0, -0.5))))
    table = pa.table(
        {
            "order_id": [f"o-{i:05d}" for i in range(n)],
            "ordered_at": [
                f"{START + timedelta(minutes=int(m)):%Y-%m-%d %H:%M:%S}" for m in minutes
            ],
            "basket": np.round(x, 4),
            "items": rng.integers(1, 9, n),
            "channel": channel,
            "returned": np.where(rng.random(n) < chance, "yes", "no"),
        }
    )
    (home / "data").mkdir()
    arrow_csv.write_csv(table, home / "data" / "Web Orders.csv")
    outcome = start(
        home / "data" / "Web Orders.csv", "--label", "returned", "--name", "orders",
        "--label-delay", "2d",
    )  # fmt: skip
    assert "Time is 'ordered_at'" in outcome.said
    assert "They name no zone, so they are read as UTC" in outcome.said
    assert "'order_id' identifies a row" in outcome.said
    assert "'yes' counts as positive" in outcome.said
    assert "A label is mature 2d after its event" in outcome.said
    definition = outcome.workspace.definition
    assert (definition.label.classes, definition.time.zone) == (("no", "yes"), "UTC")
    assert definition.label_delay == 2 * 86_400 * 1_000_000
    check(outcome, "auc", 0.75, rows=n)
    learned = [d.lineage for d in outcome.made if d.lineage]
    assert all(x.train_before <= x.as_of - definition.label_delay for x in learned)


def test_multiclass_from_a_directory_of_json_lines(home: Path) -> None:
    rng, n = np.random.default_rng(2), 4200
    seconds = np.sort(rng.integers(0, 60 * 86_400, n))
    words, urgent = rng.poisson(40, n), rng.random(n) < 0.3
    team = rng.choice(["north", "south"], n)
    scores = np.stack([words / 20 - 2 + 0 * urgent, 2.5 * urgent, 1.5 * (team == "south")], 1)
    scores = scores * 2 + rng.gumbel(size=(n, 3))
    kinds = np.array(["bug", "outage", "question"])[scores.argmax(axis=1)]
    closed = seconds + rng.integers(3600, 5 * 86_400, n)
    folder = home / "data" / "tickets"
    folder.mkdir(parents=True)
    for part in range(6):
        lines = [
            json.dumps(
                {
                    "ticket": 10_000 + i,
                    "opened_at": _utc(seconds[i]),
                    "words": int(words[i]),
                    "urgent": bool(urgent[i]),
                    "team": str(team[i]),
                    "kind": str(kinds[i]),
                    "closed_at": _utc(closed[i]),
                }
            )
            for i in range(part * n // 6, (part + 1) * n // 6)
        ]
        (folder / f"part-{part}.jsonl").write_text("\n".join(lines) + "\n")
    outcome = start(
        folder, "--label", "kind", "--name", "tickets", "--time", "opened_at", "--key", "ticket",
        "--label-time", "closed_at",
    )  # fmt: skip
    assert "multiclass (inferred from its values), 3 classes" in outcome.said
    assert "A label is known at the time in 'closed_at'" in outcome.said
    definition = outcome.workspace.definition
    assert definition.label.classes == ("bug", "outage", "question")
    assert definition.label.known_column == "closed_at"
    assert "closed_at" not in definition.features
    check(outcome, "balanced_accuracy", 0.55, rows=n)
    labels = outcome.workspace.tables.read(LABELS, columns=["_known", "_event"])
    late = np.asarray(labels["_known"]) - np.asarray(labels["_event"])
    assert late.min() >= 3600 * 1_000_000  # nothing was known before it was closed


def test_regression_from_parquet_with_an_integer_time_and_no_key(home: Path) -> None:
    rng, n = np.random.default_rng(3), 4000
    step = np.sort(rng.integers(0, 8000, n))
    area, age = rng.uniform(20, 200, n), rng.integers(0, 80, n)
    zone = rng.choice(["inner", "outer"], n)
    price = area * np.where(zone == "inner", 5.0, 3.0) - 2.0 * age + rng.normal(scale=25, size=n)
    built = [(datetime(2020, 1, 1, tzinfo=UTC) - timedelta(days=int(365 * a))).date() for a in age]
    table = pa.table(
        {
            "step": step,
            "area": area,
            "age": age,
            "zone": zone,
            "built": pa.array(built, pa.date32()),
            "price": price,
        }
    )
    (home / "data").mkdir()
    pq.write_table(table, home / "data" / "sales.parquet")
    outcome = start(
        home / "data" / "sales.parquet", "--label", "price", "--name", "sales", "--time", "step"
    )
    assert "regression (inferred from its values)" in outcome.said
    assert "No column identifies a row" in outcome.said
    assert "'built'" in outcome.said  # a date is no feature, and the person is told
    definition = outcome.workspace.definition
    assert definition.time.kind == "integer"
    assert definition.label.classes == ()
    assert "built" not in definition.features
    last = outcome.workspace.calendar.window_of(int(step[-1]))  # may still fill, so it waits
    check(outcome, "r2", 0.8, rows=int((step < last.start).sum()))


def test_the_pipeline_of_another_is_not_overwritten_unasked(home: Path) -> None:
    rng = np.random.default_rng(4)
    table = pa.table({"t": np.arange(500), "x": rng.normal(size=500), "y": rng.integers(0, 2, 500)})
    (home / "data").mkdir()
    path = home / "data" / "mine.parquet"
    pq.write_table(table, path)
    runner, options = CliRunner(), [str(path), "--label", "y"]
    assert runner.invoke(init, options).exit_code == 0
    written = (home / "home" / "pipelines" / "mine.toml").read_text()
    again = runner.invoke(init, options)
    assert again.exit_code != 0
    assert "choose another --name, or add --force" in again.output
    assert (home / "home" / "pipelines" / "mine.toml").read_text() == written
    assert runner.invoke(init, [*options, "--force"]).exit_code == 0


def _utc(seconds: int) -> str:
    moment = START + timedelta(seconds=int(seconds))
    return moment.isoformat().replace("+00:00", "Z")
