"""watch: is the live model still as good as we believed?

>>> still_better(now, before, events, windows=3, blocks=14, alpha=0.01).verdict  # doctest: +SKIP
<Verdict.PASS: 'PASS'>
>>> expected(past, guess(known, scores), alpha=0.01).verdict              # doctest: +SKIP
<Verdict.PASS: 'PASS'>

Promise: what is measured on labels may accuse a champion, what is only expected without them may at
most warn, and neither ever promotes.
"""

from ratchet.watch.checks import (
    FEWEST,
    SKILL,
    backlog,
    label_lag,
    loads,
    predecessor,
    promotion,
    serving,
    state,
    still_better,
)
from ratchet.watch.expected import EXPECTED, Guess, Past, Scored, calibrate, expected, guess

__all__ = [
    "EXPECTED",
    "FEWEST",
    "SKILL",
    "Guess",
    "Past",
    "Scored",
    "backlog",
    "calibrate",
    "expected",
    "guess",
    "label_lag",
    "loads",
    "predecessor",
    "promotion",
    "serving",
    "state",
    "still_better",
]
