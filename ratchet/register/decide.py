"""From evidence to an outcome, and the last check before an alias moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ratchet.contracts.evidence import Evidence, Verdict, telling, worst
from ratchet.contracts.lineage import Outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOADABLE = "register.loadable"
ASIDE = "objects.refused"  # the check that says which objects were put into quarantine whole
SOURCES = 20  # that a decision names
_GATE_OUTCOMES: dict[Verdict, Outcome] = {
    Verdict.PASS: "promoted",
    Verdict.WARN: "promoted",
    Verdict.INCONCLUSIVE: "held",
    Verdict.BLOCK: "blocked",
    Verdict.ERROR: "error",
}


def decide(
    data: Sequence[Evidence],
    gate: Sequence[Evidence],
    *,
    rows_in: int,
    no_candidate: str = "",
) -> tuple[Outcome, tuple[str, ...]]:
    """What a cycle concludes, and the arithmetic of the checks that decided it.

    Args:
        data: evidence on the window's data; BLOCK and ERROR both block it.
        gate: evidence on the candidate, empty when none was trained.
        rows_in: rows that landed for the window.
        no_candidate: why nothing could be trained, or empty.

    Returns:
        The first that applies: ``blocked`` (by the data), ``no_data``, ``held`` (data or gate
        without enough evidence, or no candidate), ``blocked`` or ``error`` (by the gate),
        ``promoted``. Reasons are never empty, the most
        telling checks first (:func:`~ratchet.contracts.evidence.telling`).
    """
    verdict = worst(e.verdict for e in data)
    if verdict.severity >= Verdict.BLOCK.severity:
        return "blocked", _because(data, verdict)
    if rows_in == 0:
        aside = [e.arithmetic for e in data if e.check == ASIDE]
        nothing = "0 rows landed for this window, so nothing was trained"
        return "no_data", ("; ".join([*aside, nothing]),)
    if not verdict.lets_through:
        return "held", _because(data, verdict) or ("no evidence on the data: it never passes",)
    if no_candidate:
        return "held", (no_candidate,)
    verdict = worst(e.verdict for e in gate)
    return _GATE_OUTCOMES[verdict], _gate_reasons(gate, verdict)


def _gate_reasons(gate: Sequence[Evidence], verdict: Verdict) -> tuple[str, ...]:
    if not gate:
        return ("no evidence from the gate: it never passes",)
    if verdict.lets_through:
        warned = [e for e in gate if e.verdict is Verdict.WARN]
        main = ("gate.improvement", "gate.first_champion")
        proof = [e for e in gate if e.verdict is Verdict.PASS]
        proof.sort(key=lambda e: e.check not in main)  # stable: the rest keeps its order
        return tuple(e.arithmetic for e in [*proof, *warned])
    return _because(gate, verdict)


def _because(evidence: Sequence[Evidence], verdict: Verdict) -> tuple[str, ...]:
    """Every check that did not let through, the most telling first."""
    stopped = [e for e in evidence if not e.verdict.lets_through]
    stopped.sort(key=telling)  # stable: equally telling ones stand as they were checked
    return tuple(e.arithmetic for e in stopped) if not verdict.lets_through else ()


def largest_sources(
    sources: Mapping[str, Mapping[str, int]], most: int = SOURCES
) -> dict[str, dict[str, int]]:
    """The ``most`` sources that sent most, and what all others sent together as ``(others)``.

    Args:
        sources: to their counts of ``rows`` and ``labels``.
    """
    order = sorted(sources, key=lambda s: (-sources[s]["rows"], -sources[s]["labels"], s))
    kept = {name: dict(sources[name]) for name in order[:most]}
    if rest := order[most:]:
        kept[f"({len(rest):,} others)"] = {
            what: sum(sources[name][what] for name in rest) for what in ("rows", "labels")
        }
    return kept


def same_scores(
    expected: NDArray[np.float64], scores: NDArray[np.float64], version: int
) -> Evidence:
    """Whether a stored version, asked to predict in a process of its own, answered as it should.

    Args:
        expected: scores of some rows by the model as trained; shape (rows,) or (rows, classes).
        scores: the stored version's scores of the same rows.
        version: its number, for the sentence.

    Returns:
        PASS when there are rows and all scores are finite and equal bit by bit; INCONCLUSIVE
        without rows; else BLOCK.
    """
    import numpy as np

    total = len(expected)
    if total == 0:
        text = f"version {version}: 0 rows to predict, at least 1 needed"
        return Evidence(LOADABLE, Verdict.INCONCLUSIVE, text, 0.0, 1.0)
    if scores.shape != expected.shape:
        text = f"version {version}: scores of shape {scores.shape}, expected {expected.shape}"
        return Evidence(LOADABLE, Verdict.BLOCK, text)
    wrong = (scores != expected) | ~np.isfinite(scores)
    differing = int(wrong.reshape(total, -1).any(axis=1).sum())
    text = f"version {version} loaded: {differing:,} of {total:,} predictions differ, 0 allowed"
    verdict = Verdict.BLOCK if differing else Verdict.PASS
    return Evidence(LOADABLE, verdict, text, float(differing), 0.0)
