"""gate: is the candidate better, honestly, everywhere that counts?

>>> evidence, known = judge(request, definition)                          # doctest: +SKIP
>>> worst(e.verdict for e in evidence).lets_through                       # doctest: +SKIP
False

Promise: a candidate passes only on evidence from rows that neither model has seen, that it is
better, by a test that holds however often it looks; nothing missing, broken or undecided passes.
"""

from ratchet.gate.approval import Answer, answered, awaiting, doubts
from ratchet.gate.discovered import judge_discovered
from ratchet.gate.fitness import FitnessInput, Side, jittered, judge_fitness, visits_of
from ratchet.gate.judge import GateInput, Judgement, judge
from ratchet.gate.membership import MembershipInput, judge_membership
from ratchet.gate.sealed import Account, Reading, SealedInput, judge_sealed
from ratchet.gate.searches import Searches
from ratchet.gate.sequential import Comparison
from ratchet.gate.shortcut import ShortcutInput, judge_shortcut
from ratchet.gate.true_objective import TrueInput, judge_true_objective
from ratchet.gate.trusted import TrustedInput, judge_trusted

__all__ = [
    "Account",
    "Answer",
    "Comparison",
    "FitnessInput",
    "GateInput",
    "Judgement",
    "MembershipInput",
    "Reading",
    "SealedInput",
    "Searches",
    "ShortcutInput",
    "Side",
    "TrueInput",
    "TrustedInput",
    "answered",
    "awaiting",
    "doubts",
    "jittered",
    "judge",
    "judge_discovered",
    "judge_fitness",
    "judge_membership",
    "judge_sealed",
    "judge_shortcut",
    "judge_true_objective",
    "judge_trusted",
    "visits_of",
]
