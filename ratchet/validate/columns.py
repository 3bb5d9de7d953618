"""Checks that look at a batch column by column, whatever the suite says.

>>> check_columns(rows, definition, reference=champion_sample)                  # doctest: +SKIP

Promise: a batch whose columns are gone, retyped, empty or not finite never reaches training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY
from ratchet.contracts.evidence import Evidence, Verdict, worst

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.definition import Definition

EXACT = 2**24  # float32 holds every integer up to here, and not all beyond
FLOAT32_MAX = 3.4028234663852886e38
NULLS_WARN, NULLS_BLOCK = 0.2, 0.35  # rise of a feature's null share over what is usual
SHOWN_BY = 2  # windows before must have had a share that counts as usual: one may be a fault itself
MOSTLY_NULL = 0.9  # a feature that sparse may be empty for a while
BY_CHANCE = 1e-3


def check_unseen(counts: Mapping[str, int], n_rows: int, max_share: float) -> Evidence:
    """How many rows hold a category that the champion never saw; those are mapped to missing.

    Args:
        counts: category feature to its rows with an unseen value.
        n_rows: rows of the batch.
        max_share: above this share of the rows, in any one feature, the batch is blocked.
    """
    strange = {name: int(count) for name, count in counts.items() if count}
    if n_rows == 0 or not strange:
        sentence = f"no unseen category in {n_rows} rows"
        found = Verdict.PASS if n_rows else Verdict.INCONCLUSIVE
        return Evidence("columns.unseen", found, sentence, 0.0, max_share)
    name, count = max(strange.items(), key=lambda item: (item[1], item[0]))
    share = count / n_rows
    blocked = share > max_share
    sentence = (
        f"unseen categories in {name}: {count} of {n_rows} rows, share {share:.4g} "
        f"{'>' if blocked else '<='} {max_share:g}; they count as missing"
    )
    found = Verdict.BLOCK if blocked else Verdict.WARN
    return Evidence("columns.unseen", found, sentence, share, max_share, {"counts": strange})


def check_columns(
    rows: pa.Table,
    definition: Definition,
    reference: pa.Table | None = None,
    before: Sequence[pa.Table] = (),
) -> list[Evidence]:
    """Evidence on presence and types, keys, nulls, non-finite and inexact numbers.

    Args:
        rows: the batch with its system columns, shape (rows, columns).
        definition: for the features and ``validate.min_rows``.
        reference: a sample of the champion's training rows with the features, or None.
        before: accepted rows of windows before, with at least the features of
            :func:`risen_columns`; they can only excuse a share of nulls.
    """
    present = _present(rows, definition)
    if not present.verdict.lets_through:
        return [present]
    if rows.num_rows == 0:
        return [present, Evidence("columns.values", Verdict.INCONCLUSIVE, "no data: 0 rows")]
    numbers = [name for name, kind in definition.features.items() if kind == "number"]
    return [
        present,
        _keys(rows),
        _nulls(rows, definition, reference, before),
        _finite(rows, numbers),
        _exact(rows, numbers),
    ]


def _present(rows: pa.Table, definition: Definition) -> Evidence:
    import pyarrow as pa

    names = set(rows.column_names)
    missing = [name for name in (KEY, *definition.features) if name not in names]
    wrong = {}
    for name, kind in definition.features.items():
        if name in names:
            found = rows.schema.field(name).type
            fits = pa.types.is_floating(found) if kind == "number" else pa.types.is_string(found)
            if not fits:
                wrong[name] = f"{found} instead of {kind}"
    if not missing and not wrong:
        n = len(definition.features)
        return Evidence("columns.present", Verdict.PASS, f"all {n} features present and typed")
    parts = [f"missing: {', '.join(missing)}"] if missing else []
    parts += [f"retyped: {', '.join(f'{k} is {v}' for k, v in wrong.items())}"] if wrong else []
    strangers = sorted(n for n in names - set(definition.features) if not n.startswith("_"))
    parts += [f"undeclared: {', '.join(strangers)} (renamed?)"] if missing and strangers else []
    details = {"missing": missing, "retyped": wrong, "undeclared": strangers}
    return Evidence("columns.present", Verdict.BLOCK, "; ".join(parts), details=details)


def _keys(rows: pa.Table) -> Evidence:
    import pyarrow.compute as pc

    keys = rows.column(KEY)
    empty = keys.null_count
    repeated = rows.num_rows - empty - pc.count_distinct(keys, mode="only_valid").as_py()
    bad = empty + repeated
    sentence = f"{repeated} repeated and {empty} empty keys in {rows.num_rows} rows, expected 0"
    found = Verdict.BLOCK if bad else Verdict.PASS
    return Evidence("columns.keys", found, sentence, float(bad), 0.0)


def risen_columns(
    rows: pa.Table, definition: Definition, reference: pa.Table | None = None
) -> list[str]:
    """The features whose share of nulls the reference does not explain: ask the windows before."""
    if not rows.num_rows or not _present(rows, definition).verdict.lets_through:
        return []
    judged, _ = _null_verdicts(rows, definition, reference, ())
    return [name for name, found in judged.items() if found is not Verdict.PASS]


def _nulls(
    rows: pa.Table,
    definition: Definition,
    reference: pa.Table | None,
    before: Sequence[pa.Table],
) -> Evidence:
    shares = {name: _null_share(rows, name) for name in definition.features}
    before = [t for t in before if t.num_rows >= definition.validate_.min_rows]
    judged, usual = _null_verdicts(rows, definition, reference, before)
    named = [
        f"{name} {shares[name]:.3g}" + (f" (was {usual[name]:.3g})" if name in usual else "")
        for name, found in judged.items()
        if found is not Verdict.PASS
    ]
    rule = f"blocked when empty, or {NULLS_BLOCK:g} above the champion's reference"
    rule += f" and what {SHOWN_BY} of {len(before)} windows before had" if before else ""
    sentence = f"null share of {', '.join(named) or 'every feature is as before'}; {rule}"
    details = {"null_share": {k: round(v, 6) for k, v in shares.items() if v}}
    top = max(shares.values())
    return Evidence("columns.nulls", worst(judged.values()), sentence, top, None, details)


def _null_verdicts(
    rows: pa.Table,
    definition: Definition,
    reference: pa.Table | None,
    before: Sequence[pa.Table],
) -> tuple[dict[str, Verdict], dict[str, float]]:
    """Each feature's verdict, and the share of nulls that is usual for it, where that is known."""
    names = list(definition.features)
    learned = _reached([t for t in [reference] if t is not None and t.num_rows], 1, names)
    shown = _reached(before, SHOWN_BY, names)
    few = rows.num_rows < definition.validate_.min_rows
    judged = {
        name: _judge_nulls(
            _null_share(rows, name), learned.get(name), shown.get(name, 0.0), rows.num_rows, few
        )
        for name in names
    }
    return judged, {n: max(learned.get(n, 0.0), shown.get(n, 0.0)) for n in learned | shown}


def _reached(tables: Sequence[pa.Table], shown_by: int, names: Sequence[str]) -> dict[str, float]:
    """The share of nulls that so many of the tables reached, by feature."""
    found = {}
    for name in names:
        shares = sorted(_null_share(t, name) for t in tables if name in t.column_names)
        if len(shares) >= shown_by:
            found[name] = shares[-shown_by]
    return found


def _judge_nulls(
    share: float, learned: float | None, shown: float, n_rows: int, few: bool
) -> Verdict:
    """An empty feature is a broken feed, unless it was nearly always so, or the batch is tiny.

    Windows before only excuse: without a champion's reference there is no jump.
    """
    usual = max(learned or 0.0, shown)
    if share == 1:
        excused = usual >= MOSTLY_NULL or usual**n_rows > BY_CHANCE
        return Verdict.WARN if excused or (learned is None and few) else Verdict.BLOCK
    rise = 0.0 if learned is None else share - usual
    if rise > NULLS_BLOCK and not few:
        return Verdict.BLOCK
    return Verdict.WARN if rise > NULLS_WARN else Verdict.PASS


def _null_share(table: pa.Table, name: str) -> float:
    return float(table.column(name).null_count / max(table.num_rows, 1))


def _finite(rows: pa.Table, numbers: list[str]) -> Evidence:
    import pyarrow.compute as pc

    bad = {}
    for name in numbers:
        column = rows.column(name)
        fits = pc.less_equal(pc.abs(column), FLOAT32_MAX)  # false for NaN and infinities too
        count = len(column) - column.null_count - (pc.sum(fits).as_py() or 0)
        if count:
            bad[name] = count
    total = float(sum(bad.values()))
    if not bad:
        sentence = f"all numbers are finite and at most {FLOAT32_MAX:.2g}"
        return Evidence("columns.finite", Verdict.PASS, sentence, 0.0, 0.0)
    named = ", ".join(f"{name} ({count})" for name, count in bad.items())
    sentence = (
        f"not finite, or above {FLOAT32_MAX:.2g}, which the trainer takes as infinite: {named}"
    )
    return Evidence("columns.finite", Verdict.BLOCK, sentence, total, 0.0, {"rows": bad})


def _exact(rows: pa.Table, numbers: list[str]) -> Evidence:
    """Integers beyond 2**24: neighbours become one number in the model's float32."""
    large = {name: merged for name in numbers if (merged := _merged(rows, name)) is not None}
    if not large:
        return Evidence("columns.exact", Verdict.PASS, f"no integer above 2^24 = {EXACT}", 0.0)
    named = ", ".join(f"{name} ({merged} values merge)" for name, merged in large.items())
    sentence = (
        f"integers above 2^24 = {EXACT} do not fit float32 exactly: {named}; "
        "if it is an identifier, make it a category or drop it"
    )
    total = float(sum(large.values()))
    return Evidence("columns.exact", Verdict.WARN, sentence, total, 0.0, {"merged": large})


def _merged(rows: pa.Table, name: str) -> int | None:
    """How many distinct integers of a column collapse in float32; None where none is so large."""
    import numpy as np
    import pyarrow.compute as pc

    values = pc.unique(rows.column(name)).drop_null().to_numpy(zero_copy_only=False)
    values = values[np.isfinite(values) & (np.abs(values) <= FLOAT32_MAX)]
    integers = values[values == np.round(values)]
    if not len(integers) or np.abs(integers).max() <= EXACT:
        return None
    return int(len(integers) - len(np.unique(integers.astype(np.float32))))
