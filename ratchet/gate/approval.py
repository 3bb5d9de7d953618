"""A person's word on a candidate that passed every other gate: where the pipeline asks for one of
each promotion, and where a check was left with a doubt that no number settles.

>>> awaiting("flights", "2013-03-05").verdict
<Verdict.INCONCLUSIVE: 'INCONCLUSIVE'>

Promise: without an answer nothing is promoted, and an answer is about one model: another model
under the same window is not the one that was approved.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import APPROVAL


@dataclass(frozen=True)
class Answer:
    """What a person said.

    Attributes:
        approve: yes or no.
        by, reason: who and why.
        model_digest: SHA-256 of the model that they were asked about.
    """

    approve: bool
    by: str
    reason: str
    model_digest: str


def doubts(evidence: Iterable[Evidence]) -> list[Evidence]:
    """What let the candidate through only if a person agrees: it says ``details["doubt"]``."""
    return [e for e in evidence if e.verdict.lets_through and e.details.get("doubt")]


def awaiting(pipeline: str, window: str, doubts: Iterable[Evidence] = ()) -> Evidence:
    """Nobody has answered yet; says how to, and of which doubts."""
    command = f"ratchet approve {window} -p {pipeline} --by YOU --reason WHY"
    text = f"passed every other check and waits for a person: {command} (or --refuse)"
    text += "".join(f"; {e.check}: {e.arithmetic}" for e in doubts)
    return Evidence(APPROVAL, Verdict.INCONCLUSIVE, text)


def answered(answer: Answer, model_digest: str) -> Evidence:
    """PASS or BLOCK as the person said; ERROR when the model is not the one they judged."""
    about = {"by": answer.by, "approve": answer.approve, "model_digest": answer.model_digest}
    if model_digest != answer.model_digest:
        text = (
            f"{answer.by} judged model {answer.model_digest[:12]}, but the same window now gives "
            f"{model_digest[:12]}; run the window's approval again after finding out why"
        )
        return Evidence(APPROVAL, Verdict.ERROR, text, details=about)
    said = "approved" if answer.approve else "refused"
    verdict = Verdict.PASS if answer.approve else Verdict.BLOCK
    return Evidence(APPROVAL, verdict, f"{said} by {answer.by}: {answer.reason}", details=about)
