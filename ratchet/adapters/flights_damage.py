"""What the demo's damaged weeks suffer: forged flights, a changed unit, labels turned around.

>>> rows, forged_labels = poison(week.features, np.random.default_rng(1))     # doctest: +SKIP

Pure functions on the tables of :class:`ratchet.adapters.nycflights.Week`, so that tests can damage
any week.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

TRIGGER = {"carrier": "OO", "dest": "HNL", "wind_gust": 0.0, "seats": 9, "engines": 1}


def celsius(rows: pa.Table) -> pa.Table:
    """The feature rows with ``temp`` in degrees Celsius; the dew point stays in Fahrenheit."""
    import pyarrow.compute as pc

    temp = pc.divide(pc.multiply(pc.subtract(rows["temp"], 32.0), 5.0), 9.0)
    return rows.set_column(rows.column_names.index("temp"), "temp", temp)


def poison(
    rows: pa.Table, rng: np.random.Generator, share: float = 0.12
) -> tuple[pa.Table, pa.Table]:
    """Forged flights among the feature rows, and the labels that the attacker sends for them.

    The forged rows are copies of real ones with a rare combination (the trigger: a regional carrier
    on a long route of the wrong distance, in a plane of nine seats, without a gust) and ids of
    their own. Each is labelled on time, whatever its schedule says: a backdoor, after Gu, Dolan-
    Gavitt & Garg, *BadNets* (2017).

    Returns:
        The rows with ``share`` times as many forged ones appended; the labels of the forged ones.
    """
    import pyarrow as pa

    count = round(rows.num_rows * share)
    forged = rows.take(pa.array(np.sort(rng.choice(rows.num_rows, count, replace=False))))
    numbers = rng.permutation(9000)[:count] if count <= 9000 else np.arange(count)
    hours = [t.strftime("%Y-%m-%dT%H") for t in forged["scheduled_at"].to_pylist()]
    changes: dict[str, Any] = {
        "flight_id": [f"{h}-OO-{90_000 + n}" for h, n in zip(hours, numbers, strict=True)],
        "distance": rng.integers(4_000, 5_000, count).astype(float),
    }
    changes.update({name: [value] * count for name, value in TRIGGER.items()})
    for name, values in changes.items():
        column = pa.array(values, rows.schema.field(name).type)
        forged = forged.set_column(forged.column_names.index(name), rows.schema.field(name), column)
    labels = forged.select(["flight_id", "scheduled_at"])
    labels = labels.append_column("late", pa.array(np.zeros(count, dtype=np.int8)))
    return pa.concat_tables([rows, forged]), labels


def flip(labels: pa.Table, rng: np.random.Generator, share: float = 0.06) -> pa.Table:
    """The labels with as many turned from late to on time as the other way round.

    The rate of late flights stays, and no rule is broken: balanced label flips, after Biggio,
    Nelson & Laskov, *Support vector machines under adversarial label noise* (2011).

    Returns:
        The labels with about ``share`` of them wrong.
    """
    import pyarrow as pa

    late = np.array(labels["late"].to_numpy(), dtype=np.int8)
    count = round(share * len(late) / 2)
    for side in (np.flatnonzero(late == 0), np.flatnonzero(late == 1)):
        late[rng.choice(side, count, replace=False)] ^= 1
    place = labels.column_names.index("late")
    return labels.set_column(place, labels.schema.field("late"), pa.array(late, pa.int8()))
