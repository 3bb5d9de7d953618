"""``ratchet status``, ``explain`` and ``report``: what happened, and why."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace


def only_pipeline(name: str | None) -> str:
    """The pipeline named, or the only one there is."""
    from ratchet.settings import settings

    if name:
        return name
    known = sorted(p.stem for p in settings().pipelines.glob("*.toml"))
    if len(known) == 1:
        return known[0]
    raise click.UsageError(f"name a pipeline with -p: found {known or 'none'}")


@click.command()
@click.option("-p", "--pipeline", help="Left out: every pipeline.")
@click.option("--json", "as_json", is_flag=True)
def status(pipeline: str | None, as_json: bool) -> None:
    """What serves, since when, and how the last cycles ended."""
    from ratchet.settings import settings

    names = [pipeline] if pipeline else sorted(p.stem for p in settings().pipelines.glob("*.toml"))
    found = [_status(name) for name in names]
    if as_json:
        click.echo(json.dumps(found))
        return
    if not found:
        click.echo("No pipeline yet. Write one with 'ratchet init FILE --label COLUMN'.")
    for one in found:
        _show_status(one)


def _status(name: str) -> dict[str, Any]:
    from tasks import decisions, quarantine
    from tasks.workspace import open_workspace

    workspace = open_workspace(name)
    made = decisions.done(workspace)
    promotions = [d for d in made if d.champion_after != d.champion_before]
    last = promotions[-1] if promotions else None
    return {
        "pipeline": name,
        "windows": len({d.window_index for d in made}),
        "newest": made[-1].window if made else None,
        "outcomes": dict(Counter("rolled back" if d.is_rollback else d.outcome for d in made)),
        "champion": last.champion_after if last else None,
        "champion_since": last.window if last else None,
        "champion_metrics": dict(last.candidate) if last else {},
        "rows_accepted": sum(d.accepted for d in made),
        "rows_quarantined": sum(d.quarantined for d in made),
        "labels_quarantined": sum(d.labels_quarantined for d in made),
        "open_quarantine": len(quarantine.entries(workspace, only_open=True)),
        "seconds": round(sum(sum(d.seconds.values()) for d in made), 1),
        "cpu_seconds": {
            name: round(sum(d.bill.get(name, 0.0) for d in made), 1)
            for name in ("cpu", "training", "search", "avoided")
        },
        **_sealed(workspace, made),
        **_economics(workspace, made),
        **_search(workspace, made),
    }


def _economics(workspace: Workspace, made: list[Decision]) -> dict[str, Any]:
    """What trainings were expected to save, cost and would have cost, where prices are declared."""
    from ratchet.self_train import account, units_of

    if workspace.definition.economics is None:
        return {}
    found = account(units_of(made))
    # A cycle of before the prices were declared trained too, but nobody counted its work.
    counted = [d for d in made if units_of([d])]
    seconds = sum(d.bill.get("training", 0.0) for d in counted)
    found["cells_per_second"] = round(found.pop("cells") / seconds) if seconds else 0
    return {"economics": {k: float(f"{v:.6g}") for k, v in found.items()}}


def _sealed(workspace: Workspace, made: list[Decision]) -> dict[str, Any]:
    """The account of sealed rows, where the pipeline declares any."""
    from ratchet.gate import Account

    part = workspace.definition.sealed
    if part is None:
        return {}
    account = Account.from_json(made[-1].ledger.get("sealed", {}) if made else {})
    left = round(account.left(part.alpha), 6)
    return {"sealed": {**account.as_json(), "alpha": part.alpha, "left": left}}


def _search(workspace: Workspace, made: list[Decision]) -> dict[str, Any]:
    """What the search for better hyperparameters has come to, where the pipeline declares one."""
    from ratchet.self_train import State

    if workspace.definition.search is None:
        return {}
    state = State.from_json(made[-1].ledger.get("search", {}) if made else {})
    changes = [{"window": c.window, "recipe": c.name, "because": c.because} for c in state.changes]
    racing = [trial.name for trial in state.trials]
    return {"search": {"tried": state.started, "racing": racing, "changes": changes}}


def _show_status(one: dict[str, Any]) -> None:
    from rich.console import Console

    from ratchet.cli.screen import primary
    from ratchet.contracts.lineage import held_back

    console = Console(highlight=False)
    console.print(f"[bold]{one['pipeline']}[/]")
    if one["champion"]:
        metric = primary(one["champion_metrics"])
        since = one["champion_since"]
        console.print(f"  champion    version {one['champion']} since window {since} {metric}")
    else:
        console.print("  champion    none yet")
    outcomes = ", ".join(f"{n} {name}" for name, n in one["outcomes"].items()) or "none"
    console.print(f"  windows     {one['windows']} decided, newest {one['newest']}: {outcomes}")
    out = held_back(one["rows_quarantined"], one["labels_quarantined"])
    console.print(f"  rows        {one['rows_accepted']:,} accepted, {out} held back")
    console.print(f"  quarantine  {one['open_quarantine']} entries wait for a person")
    if sealed := one.get("sealed"):
        many = "" if sealed["readings"] == 1 else "s"
        console.print(
            f"  sealed      {sealed['readings']} reading{many} of {sealed['rows']:,} rows, "
            f"{sealed['failed']} failed; {sealed['left']:.4f} of alpha {sealed['alpha']:g} left"
        )
    if found := one.get("economics"):
        console.print(
            f"  economics   {found['trained']:.0f} trainings for {found['spent']:.4g}, expected to "
            f"save {found['saving']:.4g}; {found['put_off']:.0f} put off, {found['avoided']:.4g} "
            f"avoided (a CPU second went through {found['cells_per_second']:,.0f} cells)"
        )
    if searched := one.get("search"):
        console.print(f"  search      {_searched(searched)}")
    console.print(f"  bill        {_bill(one)}")


def _searched(found: dict[str, Any]) -> str:
    """How many mutations were tried, and what the newest one changed that was adopted."""
    changes, racing = found["changes"], len(found["racing"])
    text = f"{found['tried']} mutations tried, {len(changes)} adopted, {racing} racing"
    if changes:
        text += f"; newest of {changes[-1]['recipe']}: {changes[-1]['because']}"
    return text


def _bill(one: dict[str, Any]) -> str:
    """Wall and CPU time; what members of a mixture had cost that were not trained again."""
    cpu, text = one["cpu_seconds"], f"{one['seconds']:,} s of wall time"
    if cpu["cpu"]:
        searched = f", {cpu['search']:,} s search" if cpu["search"] else ""
        text += f", {cpu['cpu']:,} s of CPU ({cpu['training']:,} s training{searched})"
    if cpu["avoided"]:
        text += f"; {cpu['avoided']:,} s of training avoided"
    return text


@click.command()
@click.argument("what")
@click.option("-p", "--pipeline")
@click.option("--replay", help="Look into a replay of this name.")
@click.option("--json", "as_json", is_flag=True)
@click.option(
    "--html",
    type=click.Path(path_type=Path),
    is_flag=False,
    flag_value=Path(),
    help="Write it as a page, to this file or (without one) to the state directory's reports.",
)
def explain(
    what: str, pipeline: str | None, replay: str | None, as_json: bool, html: Path | None
) -> None:
    """Why was WHAT (a window, or a model version) blocked, trained or promoted?"""
    from ratchet.register import describe
    from tasks import decisions
    from tasks.workspace import open_workspace

    workspace = open_workspace(only_pipeline(pipeline), replay)
    found = decisions.about(workspace, what)
    if html is not None:
        from ratchet.register import decision_page

        decision = found[0]  # the window's own cycle: what arrived and what was blocked
        page = decision_page(decision, decisions.before(workspace, decision), beside=False)
        kind = f"-decision-{replay}" if replay else "-decision"
        _write_page(workspace, decision, kind, html, page.encode())
        return
    if as_json:
        from ratchet.cli.screen import json_line

        for decision in found:
            click.echo(json_line(decision))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    for decision in found:
        Console().print(Markdown(describe(decision)))


def _about_data(workspace: Workspace, what: str, checks: bool) -> Decision:
    """The newest decision about WHAT whose cycle judged data, or measured drift, itself.

    A window that is learned from once more is decided again without either.
    """
    from ratchet.validate import SUITE
    from tasks import decisions

    def own(decision: Decision) -> bool:
        if checks:
            return any(e.check.startswith(SUITE) for e in decision.evidence)
        return "verdict" in decision.drift

    found = decisions.about(workspace, what)
    of_window = decisions.about(workspace, found[-1].window)  # a version may come of less
    first = [d for d in of_window if not d.again and not d.is_rollback]
    for known in (found, of_window):
        if judged := [d for d in known if own(d)]:
            return judged[-1]
    return (first or found)[-1]


def _no_report(decision: Decision) -> str:
    if "verdict" not in decision.drift:
        return f"the cycle ended before it ({decision.outcome}); see 'ratchet explain'"
    return str(decision.drift.get("report_error") or "there was no champion to compare with yet")


@click.command()
@click.argument("what")
@click.option("-p", "--pipeline")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the page.")
@click.option("--checks", is_flag=True, help="The checks on the window's data instead.")
def report(what: str, pipeline: str | None, out: Path | None, checks: bool) -> None:
    """Write the drift report, or the data checks, of WHAT (a window or a version) as HTML."""
    from ratchet.errors import NotFound
    from tasks.register import CHECKS_HTML, REPORT_HTML
    from tasks.workspace import open_workspace

    workspace = open_workspace(only_pipeline(pipeline))
    decision = _about_data(workspace, what, checks)
    try:
        name = CHECKS_HTML if checks else REPORT_HTML
        page = workspace.registry.artifact(decision.run_id or "none", name)
    except NotFound:
        missing = "page of data checks" if checks else f"drift report: {_no_report(decision)}"
        raise NotFound(f"{decision.window}: no {missing}") from None
    kind = "-checks" if checks else ""
    _write_page(workspace, decision, kind, out or Path(), page)


def _write_page(
    workspace: Workspace, decision: Decision, kind: str, out: Path, page: bytes
) -> None:
    """Write a page to ``out``, or to its own name among the reports where ``out`` is empty."""
    if out == Path():
        file = f"{workspace.name}-{decision.window}{kind}.html"
        out = workspace.settings.state / "reports" / file
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(page)
    click.echo(f"Open {out.resolve()} in a browser.")
