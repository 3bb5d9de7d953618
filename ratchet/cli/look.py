"""``ratchet status``: where each pipeline stands."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
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
    from tasks import decisions
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
        **_asked(workspace.definition, made),
        **_quarantine(workspace),
        "seconds": round(sum(sum(d.seconds.values()) for d in made), 1),
        "cpu_seconds": {
            name: round(sum(d.bill.get(name, 0.0) for d in made), 1)
            for name in ("cpu", "training", "search", "avoided")
        },
        **_sealed(workspace, made),
        **_economics(workspace, made),
        **_search(workspace, made),
    }


def _asked(definition: Definition, made: list[Decision]) -> dict[str, Any]:
    """The window whose candidate waits for a person, and which features are in doubt since when, of
    those that are still learned from."""
    if not made:
        return {}
    found: dict[str, Any] = {"waits": made[-1].window} if made[-1].awaits_approval else {}
    doubts = made[-1].ledger.get("doubts", {}) if definition.gate.shortcuts else {}
    if kept := {name: since for name, since in doubts.items() if name in definition.features}:
        found["doubts"] = kept
    return found


def _quarantine(workspace: Workspace) -> dict[str, int]:
    """Entries that wait for a person, and rows and labels that were let go since."""
    from tasks import quarantine

    found = quarantine.entries(workspace, only_open=False)
    return {
        "open_quarantine": sum(e["status"] == quarantine.OPEN for e in found),
        "released": sum(e["rows"] for e in found if e["status"] == "released"),
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
    if waits := one.get("waits"):
        console.print(f"  waits       for a person: ratchet approve {waits} -p {one['pipeline']}")
    if doubts := one.get("doubts"):
        named = ", ".join(f"{name} since {since}" for name, since in sorted(doubts.items()))
        console.print(f"  in doubt    {named} (gate.shortcut)")
    outcomes = ", ".join(f"{n} {name}" for name, n in one["outcomes"].items())
    decided = f"{one['windows']} decided, newest {one['newest']}: {outcomes}"
    console.print(f"  windows     {decided if one['windows'] else 'none decided yet'}")
    out = held_back(one["rows_quarantined"], one["labels_quarantined"])
    console.print(f"  rows        {one['rows_accepted']:,} accepted, {out} held back")
    waits = "entry waits" if one["open_quarantine"] == 1 else "entries wait"
    let_go = "line was" if one["released"] == 1 else "lines were"
    freed = f"; {one['released']:,} {let_go} released" if one["released"] else ""
    console.print(f"  quarantine  {one['open_quarantine']} {waits} for a person{freed}")
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
