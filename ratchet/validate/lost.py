"""What the windows before had and a batch lacks: a column that varied, a class of the label.

>>> check_stuck(rows, windows_before, definition).verdict                       # doctest: +SKIP
<Verdict.BLOCK: 'BLOCK'>

Rows of one window are no independent draws: the weather rests on 0 for a dry week, the calendar on
one month. So the chance is not a power of value frequencies, which would call each dry week a
fault. It is bounded by what whole windows did. That the next window is more extreme than all W
exchangeable ones before has probability 1 / (W + 1); how far beyond them it may lie is taken from
heavy tails:

- lasting: the longest stretch of one value, in rows. A stretch that is x times longer has chance
  x ** -2, a power tail (Pickands 1975) that just has no variance;
- resting: the odds of a window's most frequent value. Odds x times higher have chance 1 / x, as
  where a window's share of other values has a density at 0;
- a class of the label: its count in the poorest window. That there is none now: a negative binomial
  count (Greenwood and Yule 1920) of shape 2, since shares of classes move less than weather.

Of a column both must be improbable. Promise: one that was ever constant in these windows, or for
about as long, is no fault; nor is the loss of a class that some window had next to none of. What
blocks is far beyond chance by rows: a class needs some 20 rows expected, and the exact binomial
then says exp(-20).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ratchet.contracts.columns import EVENT
from ratchet.contracts.evidence import Evidence, Verdict

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition

    Floats = NDArray[np.float64]

BEFORE = 16  # windows that a batch is compared with


def constant_columns(rows: pa.Table, features: Mapping[str, str]) -> list[str]:
    """The features that hold one value in every row that is not null; none of fewer than 2 rows."""
    return [name for name in features if _constant(rows[name])] if rows.num_rows > 1 else []


def check_stuck(rows: pa.Table, before: Sequence[pa.Table], definition: Definition) -> Evidence:
    """Columns that hold one value only, though they varied in every window before.

    Args:
        rows: the batch with its features.
        before: accepted rows of up to :data:`BEFORE` windows, oldest first, from the senders of the
            batch; with ``_event`` and at least the features of :func:`constant_columns`.
        definition: for the features, which share ``shield.alpha`` (Bonferroni).
    """
    name, before = "columns.stuck", [t for t in before if t.num_rows]
    constant = constant_columns(rows, definition.features)
    level = definition.shield.alpha / len(definition.features)
    if not constant:
        return Evidence(name, Verdict.PASS, "no column holds one value only", 1.0, level)
    if not before:
        sentence = f"one value only: {', '.join(constant)}; no window before to compare with"
        return Evidence(name, Verdict.PASS, sentence, 1.0, level, {"columns": constant})
    found = {column: _stuck(rows[column], before, column) for column in constant}
    varied = {c: (chance, says) for c, (chance, says) in found.items() if says}
    chances = {column: chance for column, (chance, _) in varied.items()}
    lowest = min(chances.values(), default=1.0)
    said = [says for chance, says in varied.values() if chance < level or lowest >= level]
    sign = "<" if lowest < level else ">="
    n = len(definition.features)
    sentence = f"{'; '.join(said) or f'{len(constant)} columns rest, as they did before'}: chance "
    sentence += f"{lowest:.2g} {sign} {level:.2g} = {definition.shield.alpha:g} / {n} features"
    verdict = Verdict.BLOCK if lowest < level else Verdict.WARN if varied else Verdict.PASS
    details = {"columns": list(varied), "chance": chances}
    return Evidence(name, verdict, sentence, lowest, level, details)


def check_classes(y: Floats, before: Sequence[Floats], definition: Definition) -> Evidence:
    """Classes of the label that a batch lacks, though every window before had many.

    Args:
        y: class indices of the fresh labels, shape (labels,), one at least.
        before: class indices of the labels of up to :data:`BEFORE` windows.
        definition: for the classes, which share ``shield.alpha`` (Bonferroni).
    """
    counts = _counts(y, definition)
    names = [str(c) for c in definition.label.classes]
    shares = {name: round(float(n) / len(y), 6) for name, n in zip(names, counts, strict=True)}
    present = int((counts > 0).sum())
    shown = ", ".join(f"{name} {share:.3g}" for name, share in list(shares.items())[:10])
    sentence = f"{present} of {len(names)} classes in {len(y)} labels: {shown}"
    level = definition.shield.alpha / len(names)
    past = [_counts(old, definition) for old in before if len(old)]
    chances = {n: _lost(i, len(y), past) for i, n in enumerate(names) if not counts[i]}
    gone = [name for name, chance in chances.items() if chance < level]
    details: dict[str, Any] = {"shares": shares}
    if gone:
        details["chance"] = {name: chances[name] for name in gone}
        sentence += (
            f"; {', '.join(gone[:10])} missing, which {len(past)} windows before had: chance "
            f"{min(chances.values()):.2g} < {level:.2g} = "
            f"{definition.shield.alpha:g} / {len(names)} classes"
        )
    found = Verdict.BLOCK if gone else Verdict.WARN if present < 2 else Verdict.PASS
    return Evidence("labels.classes", found, sentence, float(present), 2.0, details)


def lacks_class(y: Floats, definition: Definition) -> bool:
    """Whether a class of the label is missing, so that the windows before have to be asked."""
    import numpy as np

    return len(np.unique(y)) < len(definition.label.classes)


def _constant(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    values = column.drop_null()
    return len(values) > 0 and bool(pc.all(pc.equal(values, values[0])).as_py())


def _stuck(column: pa.ChunkedArray, before: Sequence[pa.Table], name: str) -> tuple[float, str]:
    """Bound on the chance that it is constant by nature, and why; 1 where it was before."""
    import numpy as np

    n = len(column) - column.null_count
    windows = _codes(before, name)
    longest = _longest(windows)
    rest = max((odds(int(np.bincount(v).max()), len(v)) for v in windows), default=math.inf)
    lasting, resting = (longest / n) ** 2, rest / odds(n, n)
    if max(lasting, resting) >= 1:
        return 1.0, ""
    chance = max(lasting, resting) / (len(windows) + 1)
    says = (
        f"{name} holds one value in {n:,} rows; in {len(windows)} windows before, none lasted more "
        f"than {longest:,} rows or made up more than {rest / (1 + rest):.3g} of a window"
    )
    return chance, says


def _codes(before: Sequence[pa.Table], name: str) -> list[NDArray[np.int64]]:
    """A window's values as integers, in order of event time, without nulls; empty windows go."""
    import numpy as np
    import pyarrow as pa

    parts = []
    for table in before:
        order = np.argsort(table[EVENT].to_numpy(), kind="stable")
        parts.append(table[name].take(pa.array(order)).combine_chunks().drop_null())
    codes = np.asarray(pa.concat_arrays(parts).dictionary_encode().indices).astype(np.int64)
    cuts = np.cumsum([len(part) for part in parts])[:-1]
    return [found for found in np.split(codes, cuts) if len(found)]


def _longest(windows: Sequence[NDArray[np.int64]]) -> int:
    """The longest stretch of one value, across windows too."""
    import numpy as np

    if not windows:
        return 0
    codes = np.concatenate(windows)
    ends = np.flatnonzero(np.diff(codes, append=-1))
    return int(np.diff(ends, prepend=-1).max())


def odds(count: int, rows: int) -> float:
    """Odds of a share, half a row added to either side so that they are finite (Haldane 1956)."""
    return (count + 0.5) / (rows - count + 0.5)


def _none(expected: float, shape: float) -> float:
    """P(0) of a negative binomial count."""
    return float((1 + expected / shape) ** -shape)


def _lost(index: int, rows: int, past: Sequence[NDArray[np.int64]]) -> float:
    """Bound on the chance that a class is missing by nature."""
    poorest = min(((c[index] + 0.5) / (c.sum() + 1) for c in past), default=0.0)
    return _none(rows * poorest, 2) / (len(past) + 1)


def _counts(y: Floats, definition: Definition) -> NDArray[np.int64]:
    import numpy as np

    return np.bincount(np.asarray(y, dtype=np.int64), minlength=len(definition.label.classes))
