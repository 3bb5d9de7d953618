"""The lifetime accounts of the sources: read, entered window by window, shown.

>>> enter(workspace, window, {"ewr": Facts(1000, 3, 0.4)})[0].arithmetic        # doctest: +SKIP
'source ewr: 3 of 1,000 checked rows differed in 1 windows, at most 5 expected (0.5 %); ...'

Promise: a window is entered once, whatever crashes or runs twice; what was entered first counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import ACCOUNTS, WINDOW, accounts_schema
from ratchet.contracts.seams import Append
from ratchet.validate.accounts import Account, Facts, account_json, check_account

if TYPE_CHECKING:
    from ratchet.contracts.clock import Window
    from ratchet.contracts.evidence import Evidence
    from tasks.workspace import Workspace

RECENT = 32  # windows in which most sources were heard of


def enter(workspace: Workspace, window: Window, facts: Mapping[str, Facts]) -> list[Evidence]:
    """Enter one window's facts, one transaction for all sources, and say how each account stands.

    Sources without any fact (no row checked, no comparison) are left out.
    """
    told = {s: f for s, f in sorted(facts.items()) if f.trials or f.p_value is not None}
    if told and not workspace.tables.committed(ACCOUNTS, _txn(window)):
        _append(workspace, window, told)
    span = (window.index, window.index + 1)
    entered = _states(workspace, span) if told else {}
    return [_check(workspace, s, account) for s, account in sorted(entered.items())]


def newest(workspace: Workspace, sources: Iterable[str], before: int) -> dict[str, Account]:
    """Each source's account as it stood before the window of this index; empty if it has none.

    Most were heard of recently; the rest of the table is read only for those that were not.
    """
    wanted = set(sources)
    found = _states(workspace, (before - RECENT, before))
    if wanted - set(found):
        found = {**_states(workspace, (None, before - RECENT)), **found}
    return {source: found.get(source, Account()) for source in sorted(wanted)}


def trust(workspace: Workspace, sources: Iterable[str], before: int) -> dict[str, float]:
    """How far each source is trusted, by its account before this window; for the quotas."""
    return {s: a.trust for s, a in newest(workspace, sources, before).items()}


def standing(workspace: Workspace) -> list[dict[str, Any]]:
    """One dict a source: those that ever raised an alarm first, then the least trusted.

    Keys: source, trust, e_value, windows, trials, failures, expected, last and since (names of
    windows; since is None while nothing speaks against it), alarm (name of the window of its first
    alarm, or None) and arithmetic (the sentence for a person).
    """
    table = workspace.tables.read(ACCOUNTS, columns=["source", "alarm", "state", WINDOW])
    first: dict[str, int] = {}
    states: dict[str, str] = {}
    for line in table.to_pylist():
        states[line["source"]] = line["state"]
        if line["alarm"]:
            first.setdefault(line["source"], line[WINDOW])
    accounts = {s: Account.from_json(json.loads(state)) for s, state in states.items()}
    shown = [_shown(workspace, s, a, first.get(s)) for s, a in accounts.items()]
    return sorted(shown, key=lambda one: (one["alarm"] is None, one["trust"], one["source"]))


def _append(workspace: Workspace, window: Window, facts: Mapping[str, Facts]) -> None:
    import pyarrow as pa

    allowed, at = workspace.definition.shield.max_mismatch, datetime.now(UTC)
    lines = []
    for source, before in newest(workspace, facts, window.index).items():
        account = before.after(window.index, facts[source], allowed)
        lines.append(
            {
                "source": source,
                WINDOW: window.index,
                "trials": facts[source].trials,
                "failures": facts[source].failures,
                "p_value": facts[source].p_value,
                "state": account_json(account),
                "alarm": not _check(workspace, source, account).verdict.lets_through,
                "at": at,
            }
        )
    rows = pa.Table.from_pylist(lines, schema=accounts_schema())
    workspace.tables.append(Append(ACCOUNTS, rows, _txn(window)))


def _states(workspace: Workspace, windows: tuple[int | None, int]) -> dict[str, Account]:
    """The newest account of each source heard of in these windows ``[first, end)``."""
    table = workspace.tables.read(ACCOUNTS, columns=["source", "state", WINDOW], windows=windows)
    newest_state = {line["source"]: line["state"] for line in table.to_pylist()}
    return {s: Account.from_json(json.loads(state)) for s, state in newest_state.items()}


def _check(workspace: Workspace, source: str, account: Account) -> Evidence:
    alpha = workspace.definition.shield.lifetime_alpha
    return check_account(source, account, alpha, _name(workspace, account.since) or "")


def _name(workspace: Workspace, index: int | None) -> str | None:
    calendar = workspace.calendar
    return None if index is None else calendar.label(calendar.window(index))


def _shown(
    workspace: Workspace, source: str, account: Account, alarm: int | None
) -> dict[str, Any]:
    evidence = _check(workspace, source, account)
    return {
        "source": source,
        "trust": account.trust,
        "e_value": evidence.measured,
        "windows": account.windows,
        "trials": account.trials,
        "failures": account.failures,
        "expected": account.expected,
        "last": _name(workspace, account.last),
        "since": _name(workspace, account.since),
        "alarm": _name(workspace, alarm),
        "arithmetic": evidence.arithmetic,
    }


def _txn(window: Window) -> str:
    return f"accounts/{window.index}"
