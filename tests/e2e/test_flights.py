"""Eight weeks of real flights through the shipped pipeline, with MLflow and Evidently as they are.

The damaged week among them is blocked for what was done to it, and no clean week is.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.retrain import one_cycle
from ratchet.adapters.nycflights import land
from ratchet.cli.explain import explain, report
from ratchet.cli.look import status
from ratchet.contracts.columns import ACCEPTED, DECISIONS, INCIDENTS, WINDOW
from ratchet.contracts.definition import load
from ratchet.contracts.lineage import Decision
from ratchet.register import describe
from ratchet.settings import Settings, settings
from tasks import decisions, quarantine, windows
from tasks.verify import verify
from tasks.workspace import Workspace, read_suite

pytestmark = pytest.mark.slow

WEEKS = 8
POISONED = "2013-02-12"
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, list[Decision]]]:
    """The decisions of the first weeks, damage included, and the workspace that made them."""
    home = tmp_path_factory.mktemp("flights")
    for name in ("pipelines/flights.toml", "expectations/flights.json"):
        (home / name).parent.mkdir()
        shutil.copy(PROJECT / name, home / name)
    where = Settings(home=home, root=str(home / "tables"), state=home / "state")
    where.state.mkdir()
    definition = load(home / "pipelines" / "flights.toml")
    suite = read_suite(home / definition.validate_.suite)
    land(home / definition.source.landing, weeks=WEEKS)
    space = Workspace(definition, suite, where)
    yield space, [one_cycle(space, window) for window in windows.undecided(space, None, None)]


def test_the_poisoned_week_is_blocked_and_no_clean_one_is(
    year: tuple[Workspace, list[Decision]],
) -> None:
    space, made = year
    assert len(made) == WEEKS
    by_data = {
        d.window: d
        for d in made
        if any(not e.verdict.lets_through for e in d.evidence if not e.check.startswith("gate."))
    }
    assert list(by_data) == [POISONED]
    blocked = by_data[POISONED]
    assert (blocked.outcome, blocked.accepted, blocked.lineage) == ("blocked", 0, None)
    assert blocked.quarantined == blocked.rows_in > 6000
    assert blocked.champion_after == blocked.champion_before
    assert "distance" in " ".join(blocked.reasons)
    assert "quarantined share 0.1071 > 0.05" in " ".join(blocked.reasons)
    held = quarantine.entries(space, only_open=True)
    assert [(e["kind"], e["rows"]) for e in held if e["window"] == POISONED] == [
        ("batch", blocked.quarantined)
    ]
    incidents = space.tables.read(INCIDENTS).to_pylist()
    assert blocked.window_index in {i[WINDOW] for i in incidents}


@pytest.fixture
def cli(
    year: tuple[Workspace, list[Decision]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[CliRunner]:
    """The commands, at home in the project of ``year``."""
    where = year[0].settings
    monkeypatch.setenv("RATCHET_HOME", str(where.home))
    monkeypatch.setenv("RATCHET_ROOT", where.root)
    monkeypatch.setenv("RATCHET_STATE", str(where.state))
    settings.cache_clear()
    yield CliRunner()
    settings.cache_clear()


def test_explain_names_the_reason(cli: CliRunner) -> None:
    shown = cli.invoke(explain, [POISONED, "-p", "flights"], catch_exceptions=False)
    words = " ".join(shown.output.split())
    assert f"Blocked: window {POISONED} of flights" in words
    assert "a week's mean is 995 to 1,116" in words
    assert "749 of 6994 rows" in words


def test_status_counts_what_happened(
    cli: CliRunner, year: tuple[Workspace, list[Decision]]
) -> None:
    space, made = year
    shown = cli.invoke(status, ["-p", "flights", "--json"], catch_exceptions=False)
    (found,) = json.loads(shown.stdout)
    assert found["windows"] == WEEKS
    assert found["outcomes"] == dict(Counter(d.outcome for d in made))
    assert found["champion"] == made[-1].champion_after
    assert found["rows_accepted"] == space.tables.read(ACCEPTED).num_rows
    assert found["rows_quarantined"] == sum(d.quarantined for d in made)
    assert found["open_quarantine"] >= 1


def test_report_writes_the_page(
    cli: CliRunner, year: tuple[Workspace, list[Decision]], tmp_path: Path
) -> None:
    _, made = year
    window = next(d.window for d in reversed(made) if "verdict" in d.drift)
    page = tmp_path / "page.html"
    options = [window, "-p", "flights", "--out", str(page)]
    assert cli.invoke(report, options, catch_exceptions=False).exit_code == 0
    assert page.stat().st_size > 100_000


def test_the_champion_has_its_lineage_in_mlflow(year: tuple[Workspace, list[Decision]]) -> None:
    from mlflow import MlflowClient

    space, made = year
    champion = space.registry.alias("flights", "champion")
    assert champion is not None
    assert champion.version == made[-1].champion_after
    promotion = decisions.find(space, str(champion.version))
    assert promotion.outcome == "promoted"
    assert promotion.candidate["auc"] > 0.6

    client = MlflowClient(space.settings.tracking_uri)
    stored = client.get_model_version("flights", str(champion.version))
    assert stored.description == describe(promotion)
    assert "champion" in stored.aliases
    assert stored.run_id == promotion.run_id
    run = client.get_run(promotion.run_id or "")
    assert run.info.status == "FINISHED"
    names = {
        f.path for folder in ("", "drift") for f in client.list_artifacts(run.info.run_id, folder)
    }
    assert {"decision.json", "decision.md"} <= names
    local = Path(client.download_artifacts(run.info.run_id, "decision.json"))
    assert Decision.from_json(json.loads(local.read_text())).digest == promotion.digest
    assert run.data.metrics


def test_reports_of_every_window_after_the_first_champion(
    year: tuple[Workspace, list[Decision]],
) -> None:
    from mlflow import MlflowClient

    space, made = year
    client = MlflowClient(space.settings.tracking_uri)
    compared = [d for d in made if d.champion_before and d.drift]
    assert compared
    for decision in compared:
        run_id = decision.run_id or ""
        names = {f.path for f in client.list_artifacts(run_id, "drift")}
        assert names == {"drift/report.html", "drift/report.json"}
    page = Path(client.download_artifacts(run_id, "drift/report.html")).read_text()
    assert "<html" in page[:2000].lower()
    report = json.loads(Path(client.download_artifacts(run_id, "drift/report.json")).read_text())
    assert report


def test_the_champion_can_be_rebuilt_bit_by_bit(year: tuple[Workspace, list[Decision]]) -> None:
    space, made = year
    found = verify(space, made[-1].champion_after or 0)
    assert [(e.check, e.verdict) for e in found] == [
        ("verify.stored", "PASS"),
        ("verify.code", "PASS"),
        ("verify.rows", "PASS"),
        ("verify.model", "PASS"),
        ("verify.weights", "PASS"),
    ]


def test_a_second_run_finds_nothing_to_do(year: tuple[Workspace, list[Decision]]) -> None:
    space, made = year
    version = space.tables.version(DECISIONS)
    assert windows.undecided(space, None, None) == []
    assert one_cycle(space, space.calendar.parse(made[-1].window)).digest == made[-1].digest
    assert space.tables.version(DECISIONS) == version
