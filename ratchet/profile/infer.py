"""Puts the parts of a profile together.

>>> inferred = infer(table, InitOptions("bank", Path("bank.csv"), label="y"))    # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ratchet.errors import DefinitionError
from ratchet.profile.clock import infer_time
from ratchet.profile.delay import infer_delay
from ratchet.profile.drift import about_empty, new_share
from ratchet.profile.features import choose_features, choose_slices, infer_key
from ratchet.profile.leaks import about_leaks
from ratchet.profile.target import infer_target
from ratchet.profile.values import Inferred, InitOptions, Timeline, column_of, shown

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_ROWS = 100
UNSEEN = 0.2  # share of a window, as validate.max_unseen_share has it


def infer(table: pa.Table, options: InitOptions) -> Inferred:
    """What the data are and which pipeline would learn from them.

    Args:
        table: the sample as read, shape (rows, columns), in the order of the files.
        options: what the person said.

    Raises:
        DefinitionError: no rows, no time, no usable label, no feature, or an option that does not
            fit; the message says which, and what to pass.
    """
    if table.num_rows < FEWEST_ROWS:
        raise DefinitionError(
            f"{options.path}: {table.num_rows} rows, expected at least {FEWEST_ROWS} to infer from"
        )
    target, about_label = infer_target(table, options)
    time, about_time = infer_time(table, options)
    _check_roles(table, options, time.column)
    delay, about_delay = infer_delay(table, options, time)
    taken = {options.label, time.column, *filter(None, (options.key, options.label_time))}
    key = options.key or infer_key(table, taken - {time.column})
    taken |= {key} if key else set()
    label = column_of(table, options.label, "--label")
    chosen = choose_features(table, taken, label, time.ticks, options.ignore)
    if not chosen.kinds:
        raise DefinitionError(f"no column to learn from is left; left out: {chosen.ignored}")
    kinds = list(chosen.kinds.values())
    changing = _changing(table, chosen.kinds, time)
    about = [
        f"{table.num_rows} rows, {len(chosen.kinds)} features: {kinds.count('number')} numbers and "
        f"{kinds.count('category')} categories."
    ]
    landing, glob = _landing(options)
    return Inferred(
        name=options.name,
        landing=landing,
        glob=glob,
        key=key,
        time=time,
        target=target,
        label_delay=delay,
        label_time=options.label_time,
        features=chosen.kinds,
        ignored=chosen.ignored,
        slices=choose_slices(table, chosen.kinds),
        new_values=changing,
        rows=table.num_rows,
        sentences=(
            *about,
            *about_label,
            *about_time,
            *_about_key(table, key, options),
            *about_delay,
            *chosen.said,
            *_about_new_values(changing),
            *about_empty(table, chosen.kinds, time),
            *about_leaks(table, chosen.kinds, target, time),
        ),
    )


def sentences(inferred: Inferred) -> list[str]:
    """What was inferred and why, in plain words, one sentence or two a line."""
    return list(inferred.sentences)


def _check_roles(table: pa.Table, options: InitOptions, time: str) -> None:
    if options.key is not None:
        column_of(table, options.key, "--key")
    if options.label_time is not None:
        column_of(table, options.label_time, "--label-time")
    roles = (time, options.label, options.key, options.label_time)
    for name in options.ignore:
        column_of(table, name, "--ignore")
        if name in roles:
            raise DefinitionError(f"--ignore {shown(name)}: it is the label, the time or the key")
    if options.label in (time, options.key, options.label_time):
        raise DefinitionError(f"--label {shown(options.label)}: it is the time or the key as well")


def _changing(table: pa.Table, kinds: Mapping[str, str], time: Timeline) -> tuple[str, ...]:
    """The categories whose values are mostly new in each window."""
    return tuple(
        name
        for name, kind in kinds.items()
        if kind == "category" and new_share(column_of(table, name, "column"), time) > UNSEEN
    )


def _about_key(table: pa.Table, key: str | None, options: InitOptions) -> list[str]:
    import pyarrow.compute as pc

    if key is None:
        return [
            "No column identifies a row, so its file and row number do: the same row sent again in "
            "another file counts twice. Pass --key if there is one."
        ]
    column = column_of(table, key, "--key")
    repeated = len(column) - int(pc.count_distinct(column, mode="only_valid").as_py())
    said = f"{shown(key)} identifies a row"
    if options.key is None:
        return [f"{said}: it is unique and never missing."]
    if repeated:
        return [
            f"{said}, as you asked; {repeated} rows repeat one or have none: one row a key stays."
        ]
    return [f"{said}, as you asked."]


def _about_new_values(changing: tuple[str, ...]) -> list[str]:
    if not changing:
        return []
    return [
        f"{', '.join(map(shown, changing))}: whole windows bring values never seen before, as a "
        "new month does. So unseen values do not block a batch here (validate.max_unseen_share 1)."
    ]


def _landing(options: InitOptions) -> tuple[str, str]:
    """The landing directory and the glob of its files."""
    path = options.path
    is_file = bool(path.suffix) if options.is_file is None else options.is_file
    return (path.parent.as_posix(), path.name) if is_file else (path.as_posix(), "**")
