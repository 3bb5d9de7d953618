"""Stuck columns and lost classes: does the hard gate block them, and nothing clean?

Run ``python -m benchmarks.hard_gate``. Each window of each stream is judged against up to sixteen
before it: as it came, with each feature in turn stuck at its last value, and with each class of its
label taken away. The rule was settled while looking at these streams; ``shield_alarms`` judges
hundreds of windows that it was not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import shield_streams as streams
from benchmarks.attacks.scene import with_column
from benchmarks.shield_streams import Stream
from ratchet.contracts.columns import LABEL
from ratchet.contracts.evidence import Verdict
from ratchet.validate import BEFORE, check_labels, check_stuck


def main() -> None:
    """Print one line a stream, and for each feature how often its being stuck was blocked."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--bank", default="../shared/data/bank_marketing.parquet")
    for stream in _streams(Path(asked.parse_args().bank)):
        _report(stream)


def _streams(bank: Path) -> Iterator[Stream]:
    yield streams.flights(Path(), 52)
    if bank.is_file():
        yield streams.bank(bank)
    yield from (make() for make in (streams.generator, streams.sea))


def _report(stream: Stream) -> None:
    judged = range(1, len(stream.windows))
    clean = sum(_blocks(stream, i, stream.windows[i]) for i in judged)
    resting = sum(_constant(stream, i) for i in judged)
    print(f"\n{stream.name}: {clean} of {len(judged)} clean windows blocked, though in them")
    print(f"  {resting} columns held one value; share of windows blocked where a column is stuck:")
    for name in stream.definition.features:
        found = [_blocks(stream, i, _stuck(stream.windows[i], name)) for i in judged]
        print(f"    {name:<16} {np.mean(found):5.0%}")
    for kept in (0.0, 1.0):
        one = [w.filter(pc.equal(w[LABEL], kept)) for w in stream.windows]
        found = [_blocks(stream, i, one[i]) for i in judged]
        print(f"    only class {kept:g}     {np.mean(found):5.0%}")


def _blocks(stream: Stream, index: int, rows: pa.Table) -> bool:
    before = stream.windows[max(index - BEFORE, 0) : index]
    known = [table[LABEL].to_numpy() for table in before]
    evidence = check_labels(rows, stream.definition, scores=None, expected_skill=None, before=known)
    evidence.append(check_stuck(rows, before, stream.definition))
    return any(e.verdict is Verdict.BLOCK for e in evidence)


def _constant(stream: Stream, index: int) -> int:
    from ratchet.validate import constant_columns

    return len(constant_columns(stream.windows[index], stream.definition.features))


def _stuck(rows: pa.Table, name: str) -> pa.Table:
    """As if the sensor had died before the window: each row holds the last value before it."""
    value = rows[name].drop_null()[0].as_py()
    return with_column(rows, name, [value] * rows.num_rows)


if __name__ == "__main__":
    main()
