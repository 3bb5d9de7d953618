"""What the operator sees: the schedule runs what landed; Prefect's and MLflow's pages show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from ratchet.contracts.lineage import Decision
from tests import streams
from tests.browser import chromium, enter_prefect, open_page, picture
from tests.stack import Stack, wait

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

ASKING = (
    streams.PIPELINE.replace('name = "tiny"', 'name = "asking"')
    .replace("[gate]", "[gate]\napproval = true\napproval_hours = 0.2")
    .replace('"features/**"', '"asking/features/**"')
    .replace('"labels/**"', '"asking/labels/**"')
)


@pytest.fixture(autouse=True, scope="module")
def quiet(stack: Stack) -> Iterator[None]:
    """Pages are looked at while the schedule is paused."""
    wait(lambda: runs_with(stack, "promoted"))
    stack.schedule(on=False)
    yield
    stack.schedule(on=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def runs_with(stack: Stack, tag: str) -> list[dict[str, Any]]:
    """Completed flow runs that were tagged with this outcome."""
    completed = {"state": {"type": {"any_": ["COMPLETED"]}}, "tags": {"all_": [tag]}}
    found: list[dict[str, Any]] = stack.prefect("flow_runs/filter", {"flow_runs": completed})
    return found


def champion(stack: Stack) -> Decision:
    """The decision that made the first champion."""
    return next(d for d in stack.decided() if d.outcome == "promoted")


def prefect(stack: Stack, browser: Browser) -> Page:
    page = open_page(browser)
    enter_prefect(
        page, f"http://127.0.0.1:{stack.ports['prefect']}", f"ratchet:{stack.secrets.prefect}"
    )
    return page


def mlflow(stack: Stack, browser: Browser) -> Page:
    return open_page(browser, ("ratchet", stack.secrets.mlflow_ratchet))


def test_prefect_names_the_run_its_outcome_and_its_artifacts(
    stack: Stack, browser: Browser
) -> None:
    run, window = runs_with(stack, "promoted")[-1], champion(stack).window
    assert run["auto_scheduled"]
    assert run["name"].startswith("tiny ")
    assert run["state_name"] == "Completed"
    page = prefect(stack, browser)
    page.get_by_text(run["name"], exact=True).first.click()
    page.get_by_text("promoted", exact=True).first.wait_for()
    page.get_by_text("Artifacts", exact=True).click()
    page.get_by_text(f"tiny-{window}-decision", exact=True).first.wait_for()
    picture(page, "prefect-run")
    page.get_by_text(f"tiny-{window}-decision", exact=True).last.click()
    page.get_by_text(f"Promoted: window {window} of tiny").first.wait_for()
    page.get_by_text("lower bound").first.wait_for()
    picture(page, "prefect-decision")


SHOWN = {"decision": "What arrived", "drift": "Data Drift Summary", "checks": "Rules of the suite"}


def test_each_link_on_the_run_opens_what_it_names(stack: Stack, browser: Browser) -> None:
    shown = {a["key"]: a["data"] for a in stack.prefect("artifacts/filter", {}) if a["key"]}
    page = mlflow(stack, browser)
    for kind, wanted in SHOWN.items():
        link = shown[f"tiny-3000-{kind}-page"]
        page.goto("about:blank")
        page.goto(link.split("](")[1].split(")")[0])
        page.frame_locator("iframe").get_by_text(wanted).first.wait_for()
        picture(page, f"mlflow-{kind}")
    page.goto(shown["tiny-3000-mlflow"].split("](")[1].split(")")[0])
    page.get_by_text("tiny 3000").first.wait_for()
    page.get_by_text("candidate/auc").first.wait_for()


def test_mlflow_shows_the_champion_its_lineage_and_the_curves(
    stack: Stack, browser: Browser
) -> None:
    base = f"http://127.0.0.1:{stack.ports['mlflow']}"
    page = mlflow(stack, browser)
    page.goto(f"{base}/#/models/tiny")
    page.get_by_text("champion").first.wait_for()
    picture(page, "mlflow-model")
    made = champion(stack)
    page.goto(f"{base}/#/models/tiny/versions/{made.champion_after}")
    page.get_by_text(f"Promoted: window {made.window} of tiny").first.wait_for()
    page.get_by_text("ratchet.bundle_digest").first.wait_for()
    picture(page, "mlflow-version")

    experiment = stack.mlflow("experiments/get-by-name", experiment_name="tiny")
    number = experiment["experiment"]["experiment_id"]
    page.goto(f"{base}/#/experiments/{number}/runs?workflowType=machine_learning")
    page.get_by_text("tiny over windows").first.click()
    page.get_by_text("candidate/loss").first.wait_for()
    page.get_by_text("Model metrics", exact=True).first.click()
    page.locator("svg.main-svg").first.wait_for()
    picture(page, "mlflow-curves")


def test_a_form_shows_its_bounds_and_the_server_refuses_the_rest(
    stack: Stack, browser: Browser
) -> None:
    deployment = stack.deployment("retrain")
    page = prefect(stack, browser)
    base = f"http://127.0.0.1:{stack.ports['prefect']}"
    page.goto(f"{base}/deployments/deployment/{deployment}/run")
    page.get_by_text("The name of a file in pipelines/").first.wait_for()
    page.get_by_text("Any time of the one window to run instead").first.wait_for()
    picture(page, "prefect-form")
    import httpx

    answer = httpx.post(
        f"{base}/api/deployments/{deployment}/create_flow_run",
        json={"parameters": {"pipeline": "tiny", "window": "last week"}},
        auth=("ratchet", stack.secrets.prefect),
        timeout=20,
    )
    assert answer.status_code in (409, 422), answer.text
    assert "window" in answer.text or "pattern" in answer.text


def test_a_person_has_the_last_word_on_the_runs_page(stack: Stack, browser: Browser) -> None:
    """The gate asks; the run pauses; the form on its page promotes."""
    (stack.project / "pipelines" / "asking.toml").write_text(ASKING)
    for index in range(4):
        stack.land(index, "asking/")
    stack.start("retrain", {"parameters": {"pipeline": "asking"}})
    paused = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}
    (run,) = wait(lambda: stack.prefect("flow_runs/filter", paused))
    waiting = stack.decided(pipeline="asking")[-1]
    assert waiting.outcome == "held"
    assert waiting.champion_after is None
    page = prefect(stack, browser)
    page.goto(f"http://127.0.0.1:{stack.ports['prefect']}/runs/flow-run/{run['id']}")
    page.get_by_role("button", name="Resume").first.click()
    page.get_by_text("Promote this candidate?").first.wait_for()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[type=checkbox]").first.evaluate("box => box.click()")  # hidden by a style
    boxes = dialog.locator("textarea")
    boxes.nth(0).fill("kim")
    boxes.nth(1).fill("looks like last month")
    page.wait_for_timeout(2000)  # the form takes over what was typed after a pause
    picture(page, "prefect-approval")
    dialog.get_by_role("button", name="Submit").click()
    made = wait(lambda: (d := stack.decided(pipeline="asking")[-1]).outcome == "promoted" and d)
    assert made.champion_after == 1
    assert "approved by kim: looks like last month" in {e.arithmetic for e in made.evidence}
