"""``ratchet explain`` and ``report``: why something was decided, and the pages about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ratchet.cli.look import only_pipeline

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace


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
        kind = f"-{replay}" if replay else ""
        out = _place(workspace, decision, f"-decision{kind}", html)
        history = decisions.before(workspace, decision)
        pages = _checks_beside(workspace, decision, out)
        page = decision_page(decision, history, beside=False, pages=pages)
        _write_page(out, page.encode())
        return
    if as_json:
        from ratchet.cli.screen import json_line

        for decision in found:
            click.echo(json_line(decision))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    for decision in found:
        text = describe(decision, waiting=_waiting(workspace, decision))
        about, title, steps = text.partition("### What you can do\n\n")
        Console().print(Markdown(about))
        if title:  # as they stand: a command that is broken into lines cannot be copied
            click.secho("What you can do", bold=True)
            click.echo(steps)


def _waiting(workspace: Workspace, decision: Decision) -> list[str]:
    """The entries of the window in quarantine that a person may release, the largest first.

    None of a replay: nobody acts on what that held back.
    """
    from tasks import quarantine

    if workspace.replay or not (decision.quarantined or decision.labels_quarantined):
        return []
    entries = [
        e
        for e in quarantine.entries(workspace, only_open=True)
        if e["window"] == decision.window and e["kind"] in ("batch", "row", "label")
    ]
    return [e["entry"] for e in sorted(entries, key=lambda e: -e["rows"])]


def _checks_beside(workspace: Workspace, decision: Decision, out: Path) -> dict[str, str]:
    """The page of data checks beside the decision's, where the run has one that is not served."""
    from urllib.parse import quote

    from ratchet.errors import NotFound
    from ratchet.register import PAGES

    if decision.links.get("checks", "").startswith(("http://", "https://")):
        return {}
    try:
        page = workspace.registry.artifact(decision.run_id or "none", PAGES["checks"])
    except NotFound:
        return {}
    kind = f"-{workspace.replay}" if workspace.replay else ""
    beside = out.with_name(f"{workspace.name}-{decision.window}{kind}-checks.html")
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.write_bytes(page)
    return {"checks": f"./{quote(beside.name)}"}


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
    _write_page(_place(workspace, decision, kind, out or Path()), page)


def _place(workspace: Workspace, decision: Decision, kind: str, out: Path) -> Path:
    """``out``, or a page's own name among the reports where that is empty."""
    file = f"{workspace.name}-{decision.window}{kind}.html"
    return workspace.settings.state / "reports" / file if out == Path() else out


def _write_page(out: Path, page: bytes) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(page)
    click.echo(f"Open {out.resolve()} in a browser.")
