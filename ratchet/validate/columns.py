"""Checks that look at a batch column by column, whatever the suite says.

>>> check_columns(rows, definition, reference=champion_sample)                  # doctest: +SKIP

Promise: a batch whose columns are gone, retyped, empty or not finite never reaches training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ratchet.contracts.columns import KEY
from ratchet.contracts.evidence import Evidence, Verdict, worst

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.definition import Definition

EXACT = 2**24  # float32 holds every integer up to here, and not all beyond
FLOAT32_MAX = 3.4028234663852886e38
NULLS_WARN, NULLS_BLOCK = 0.2, 0.35  # rise of a feature's null share over the reference
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
    rows: pa.Table, definition: Definition, reference: pa.Table | None = None
) -> list[Evidence]:
    """Evidence on presence and types, keys, nulls, non-finite and inexact numbers.

    Args:
        rows: the batch with its system columns, shape (rows, columns).
        definition: for the features and ``validate.min_rows``.
        reference: a sample of the champion's training rows with the features, or None.
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
        _nulls(rows, definition, reference),
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


def _nulls(rows: pa.Table, definition: Definition, reference: pa.Table | None) -> Evidence:
    shares = {name: _null_share(rows, name) for name in definition.features}
    before = {}
    if reference is not None and reference.num_rows:
        known = [name for name in shares if name in reference.column_names]
        before = {name: _null_share(reference, name) for name in known}
    few = rows.num_rows < definition.validate_.min_rows
    judged = {
        name: _judge_nulls(share, before.get(name), rows.num_rows, few)
        for name, share in shares.items()
    }
    named = [
        f"{name} {shares[name]:.3g}" + (f" (was {before[name]:.3g})" if name in before else "")
        for name, found in judged.items()
        if found is not Verdict.PASS
    ]
    rule = f"blocked when empty, or {NULLS_BLOCK:g} above the champion's reference"
    sentence = f"null share of {', '.join(named) or 'every feature is as before'}; {rule}"
    details = {"null_share": {k: round(v, 6) for k, v in shares.items() if v}}
    top = max(shares.values())
    return Evidence("columns.nulls", worst(judged.values()), sentence, top, None, details)


def _judge_nulls(share: float, before: float | None, n_rows: int, few: bool) -> Verdict:
    """An empty feature is a broken feed, unless it was nearly always so, or the batch is tiny."""
    if share == 1:
        chance = 0.0 if before is None else before**n_rows
        usual = before is not None and (before >= MOSTLY_NULL or chance > BY_CHANCE)
        return Verdict.WARN if usual or (before is None and few) else Verdict.BLOCK
    rise = 0.0 if before is None else share - before
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
