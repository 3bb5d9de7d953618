"""Has the world moved, or were the labels turned around? Blocked windows that foretell one another.

>>> moved(blocked, fresh, before, definition, in_a_row=3, seed=1).verdict       # doctest: +SKIP
<Verdict.WARN: 'WARN'>

Where no trusted source is declared, labels on which the champion loses its skill are blocked
(:mod:`ratchet.validate.labels`). A concept that has changed for good would be blocked for ever.
What tells it from noise is that it can be learned: a model of the labels that were blocked before
scores those of today. Labels turned around at random do not reach that: so many that the champion
is blocked, more than ``max_skill_loss / 2``, leave any model less than ``1 - max_skill_loss`` of
its skill, and half of the champion's is asked. Labels that follow a false rule do, so whoever sends
every label for so many windows is believed; only a trusted source is safe from that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import EVENT
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.validate.labels import FEWEST, margin, skill_and_influence
from ratchet.validate.pooled import values_of
from ratchet.validate.split_tests import narrow, predict_small, train_small

if TYPE_CHECKING:
    from ratchet.contracts.definition import Definition
    from ratchet.validate.sample import Sample

FORETOLD = 0.5  # of the champion's skill so far: what a model of the windows before must reach
REMEMBERED = 4  # windows before that it learns from, at most


def moved(
    blocked: Evidence,
    fresh: Sample,
    before: Sample,
    definition: Definition,
    *,
    in_a_row: int,
    seed: int,
) -> Evidence:
    """The verdict on labels that :func:`check_labels` blocked, once so many windows were.

    Args:
        blocked: the evidence ``labels.agreement``, its ``details`` with ``expected``.
        fresh: this window's labelled rows; ``_event`` and the features.
        before: those of the suspicious windows before it.
        in_a_row: how many windows in a row there are, this one included.
        seed: of the model.

    Returns:
        A warning where the windows before foretell this one; else ``blocked``, saying so.
    """
    import numpy as np
    import pyarrow as pa

    names = list(definition.features)
    few = min(len(fresh.labels), len(before.labels))
    objective, k = definition.label.objective, len(definition.label.classes)
    told = np.unique(before.labels)
    if few < FEWEST or len(told) < 2:
        return _still(blocked, f"{few} labelled rows of them < {FEWEST} or one value only")
    table = pa.concat_tables([t.rows.select(names) for t in (before, fresh)])
    values, n = narrow(values_of(table, definition)[0]), len(before.labels)
    kinds = tuple(definition.features.values())
    threads = definition.train.threads
    model = train_small(values[:n], before.labels, kinds, seed, threads, objective, k)
    scores = predict_small(model, values[n:])
    value, influence = skill_and_influence(objective, fresh.labels, scores)
    events = fresh.rows[EVENT].to_numpy()
    lower = value - margin(influence, events, definition.gate.alpha)
    least = FORETOLD * float(blocked.details["expected"])
    found = f"the windows before foretell these labels with skill {value:.3f}, at least {lower:.3f}"
    if not lower >= least:  # nor NaN
        return _still(blocked, f"{found} < {least:.3f}: this cannot be learned")
    sentence = (
        f"{blocked.arithmetic.partition(';')[0]}; number {in_a_row} in a row, and {found} >= "
        f"{least:.3f} = {FORETOLD:g} x {blocked.details['expected']:.3f}: the world has moved, or "
        "whoever sends every label lies; no trusted source is declared to tell"
    )
    details: dict[str, Any] = {**blocked.details, "foretold": value, "in_a_row": in_a_row}
    return replace(blocked, verdict=Verdict.WARN, arithmetic=sentence, details=details)


def _still(blocked: Evidence, why: str) -> Evidence:
    return replace(blocked, arithmetic=f"{blocked.arithmetic}; {why}")
