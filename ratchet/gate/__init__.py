"""gate: is the candidate better, honestly, everywhere that counts?

>>> evidence, known = judge(request, definition)                          # doctest: +SKIP
>>> worst(e.verdict for e in evidence).lets_through                       # doctest: +SKIP
False

Promise: a candidate passes only on evidence from rows that neither model has seen, that it is
better, by a test that holds however often it looks; nothing missing, broken or undecided passes.
"""

from ratchet.gate.approval import Answer, answered, awaiting
from ratchet.gate.discovered import judge_discovered
from ratchet.gate.judge import GateInput, Judgement, judge
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
    "GateInput",
    "Judgement",
    "Reading",
    "SealedInput",
    "Searches",
    "ShortcutInput",
    "TrueInput",
    "TrustedInput",
    "answered",
    "awaiting",
    "judge",
    "judge_discovered",
    "judge_sealed",
    "judge_shortcut",
    "judge_true_objective",
    "judge_trusted",
]
