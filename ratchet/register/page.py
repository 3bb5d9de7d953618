"""A decision as one HTML page: what was decided and why, on what evidence, and what to do next.

>>> decision_page(decision, history).startswith("<!DOCTYPE html>")     # doctest: +SKIP
True

It needs no network, no script and nothing from elsewhere, fits a phone, and prints.

Promise: the same decision and history give the same bytes, whether just made or read back years
later; whatever a value holds, it is shown and never obeyed; the page stays below
:data:`BYTES_LIMIT`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ratchet.contracts.lineage import Decision, canonical_json
from ratchet.register.compared import compared
from ratchet.register.describe import HEADLINES, clock_of, digests, recipe_of
from ratchet.register.evidence_tables import PAGES, arrived, checked, drifted
from ratchet.register.markup import code, document, facts, page_link, section, shown, table
from ratchet.register.steps import next_steps

BYTES_LIMIT = 200_000
WINDOWS = 64  # cycles at most that the plot of losses goes back


@dataclass(frozen=True)
class Room:
    """How much a page may hold: rows of one table, characters of one value."""

    rows: int
    cell: int


ROOMS = (Room(400, 600), Room(120, 400), Room(40, 300), Room(20, 160), Room(10, 60))


def decision_page(
    decision: Decision,
    history: Sequence[Decision] = (),
    *,
    beside: bool = True,
    pages: Mapping[str, str] | None = None,
) -> str:
    """The page of one decision.

    Args:
        decision: of a cycle or of a rollback.
        history: earlier decisions, oldest first, for the losses over the past windows.
        beside: whether the page lies in its run, so that the pages beside it can be linked.
        pages: name among :data:`~ratchet.register.evidence_tables.PAGES` to the relative address of
            a copy, for a page that lies elsewhere.

    Returns:
        HTML of at most :data:`BYTES_LIMIT` bytes: long tables and values are cut until it fits.
    """
    # As it is stored: tuples, NaN and the order of keys must not make another page of it.
    stored = Decision.from_json(json.loads(canonical_json(decision.as_json())))
    page = ""
    for room in ROOMS:
        page = _render(stored, history, room, _links(stored, beside, pages or {}))
        if len(page.encode()) <= BYTES_LIMIT:
            break
    return page


def _render(
    decision: Decision, history: Sequence[Decision], room: Room, links: dict[str, str]
) -> str:
    return document(
        f"{decision.pipeline} {decision.window}: {headline(decision)}",
        _head(decision, room)
        + section("What arrived", arrived(decision, room.rows, room.cell))
        + section("What was checked", checked(decision, links, room.rows, room.cell))
        + section("Drift", drifted(decision, links, room.rows, room.cell))
        + section(
            "Candidate against champion",
            compared(decision, history[-WINDOWS + 1 :], room.rows),
        )
        + section("Lineage", _lineage(decision, links))
        + section("Next steps", _steps(decision))
        + "<p class=dim><small>Written by Ratchet. No script, no network: the page can be kept, "
        "printed and sent.</small></p>",
    )


def headline(decision: Decision) -> str:
    """The outcome in a word or two."""
    if decision.is_rollback:
        return "Rolled back"
    return HEADLINES.get(decision.outcome, decision.outcome)


def sentence(decision: Decision) -> str:
    """What was decided about whom, without the reason; plain text."""
    before, after = decision.champion_before, decision.champion_after
    stays = f"version {after} stays champion" if after else "there is still no champion"
    if decision.is_rollback:
        return f"Version {after} was put back in place of version {before}"
    if decision.outcome == "promoted":
        if before is None:
            return f"Version {after} is the first champion"
        return f"Version {after} replaces version {before} as champion"
    judged = bool(decision.candidate) or decision.lineage is not None
    what = {
        "held": "The candidate was held back" if judged else "No candidate was judged",
        "blocked": "The candidate was blocked" if judged else "The window's data were blocked",
        "no_data": "Nothing arrived",
        "error": "A check broke, and what cannot be checked never passes",
    }.get(decision.outcome, f"The cycle ended as {decision.outcome}")
    return f"{what}; {stays}"


def _head(decision: Decision, room: Room) -> str:
    first, *others = decision.reasons or ("",)
    more = [] if decision.outcome == "promoted" else others[:5]
    because = f": {shown(first, room.cell)}" if first else ""
    also = "".join(f"<li>{shown(reason, room.cell)}</li>" for reason in more)
    return (
        f'<header><p><span class="badge {shown(decision.outcome, 20)}">'
        f"{shown(headline(decision), 40)}</span></p>"
        f"<h1>{shown(decision.pipeline, 60)}, window {shown(decision.window, 60)}</h1>"
        f'<p class="lead"><strong>{shown(sentence(decision))}</strong>{because}</p>'
        f"{f'<ul>{also}</ul>' if also else ''}{facts(_facts(decision))}</header>"
    )


def _facts(decision: Decision) -> list[tuple[str, str]]:
    def version(number: int | None) -> str:
        return "none" if number is None else f"version {number}"

    drift = {"PASS": "does not matter", "WARN": "matters"}.get(
        str(decision.drift.get("verdict")), "not measured"
    )
    return [
        ("Champion before", version(decision.champion_before)),
        ("Champion after", version(decision.champion_after)),
        ("Candidate", shown(decision.recipe, 40) if decision.recipe else "none"),
        ("Known until", shown(clock_of(decision.window).show(decision.as_of), 40)),
        ("Drift", "" if decision.is_rollback else drift),
    ]


def _links(decision: Decision, beside: bool, pages: Mapping[str, str]) -> dict[str, str]:
    """Addresses (escaped) of the run and of the pages beside this one, those that would open."""
    found = {}
    for name, address in decision.links.items():
        if address.startswith(("http://", "https://")):
            found[name] = shown(address, 500)
        elif beside and name in PAGES:
            found[name] = PAGES[name]
    return {**{name: shown(address, 500) for name, address in pages.items()}, **found}


def _lineage(decision: Decision, links: dict[str, str]) -> str:
    show = clock_of(decision.window).show
    rows = [("window", shown(decision.window, 60)), ("as-of", shown(show(decision.as_of), 60))]
    lineage = decision.lineage
    if lineage is not None:
        since = "the beginning" if lineage.train_from is None else show(lineage.train_from)
        tables = {
            "accepted": lineage.accepted_version,
            "labels": lineage.labels_version,
            "revocations": lineage.revocations_version,
            "trusted": lineage.trusted_version,
        }
        versions = ", ".join(f"{name} v{v}" for name, v in tables.items() if v >= 0)
        rows += [
            ("trained on", f"{lineage.rows:,} rows with a label, events from {shown(since, 60)} "
                           f"until {shown(show(lineage.train_before), 60)}"),
            ("tables", versions),
            ("recipe", shown(recipe_of(lineage), 300)),
            ("parent", f"version {lineage.parent}" if lineage.parent else "none"),
            ("seed, threads", f"{lineage.seed}, {lineage.threads}"),
        ]  # fmt: skip
        if lineage.sealed_share:
            rows.append(("sealed", f"{lineage.sealed_share:.0%} of all rows, left out of training"))
    known = digests(lineage) if lineage else {"definition": decision.definition_digest}
    rows += [(f"{name} digest", code(digest)) for name, digest in known.items() if digest]
    rows += [("decision digest", code(decision.digest)), ("cycle", code(decision.cycle_key, 120))]
    if decision.run_id:
        opened = f" {page_link(links['mlflow'], 'Open')}" if "mlflow" in links else ""
        rows.append(("MLflow run", code(decision.run_id) + opened))
    about = "A training set is a query: ask it again, and the same bytes come out."
    return table(about, ("what", "value"), rows)


def _steps(decision: Decision) -> str:
    items = "".join(
        f"<li>{shown(why)}<pre><code>{shown(command)}</code></pre></li>"
        for why, command in next_steps(decision)
    )
    return f"<ol>{items}</ol>"
