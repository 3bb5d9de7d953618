"""Pseudo-labels: what a teacher says of rows whose labels are not mature, learned from besides.

>>> room(np.ones(10), 3), room(np.ones(2), 3)                            # doctest: +SKIP
(3, 2)

Self-training with soft labels (Scudder 1965; Hinton, Vinyals and Dean 2015): the label of such a
row is the teacher's probability. A teacher has no teacher, so no label is ever taught on. At least
half of what a pupil learns are true labels, and a teacher whose labels have collapsed teaches
nothing.

Promise: nothing known after the window's end is learned, and of the rows that wait for their labels
only those that the caller lets be taught.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ratchet.contracts.columns import EVENT, KEY, KNOWN
from ratchet.contracts.metrics import spread
from ratchet.contracts.score import booster, encode, scores_of
from ratchet.self_train.training_set import hash_strings

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ratchet.contracts.definition import Definition
    from ratchet.self_train.bundled import Trained
    from ratchet.self_train.training_set import TrainingSet

    Floats = NDArray[np.floating]

TRUE, PSEUDO = 0, 1  # where a row's label is from
MOVED = 0.2  # how far the mean soft label may be from the share of positives
WIDER = 2.0  # how many times wider or narrower than on true rows the soft labels may be spread


@dataclass(frozen=True, eq=False)
class Taught:
    """A pupil's training set.

    Attributes:
        training: true rows first, then the others; ``origin`` tells them apart.
        rows: how many are pseudo-labelled.
        note: why none is; empty where some are.
    """

    training: TrainingSet
    rows: int
    note: str = ""


def waiting(definition: Definition, rows: pa.Table, labels: pa.Table, as_of: int) -> pa.Table:
    """The rows known before ``as_of`` (ticks) whose label is neither mature nor known, by event.

    Args:
        definition: gives the label delay.
        rows: accepted rows that may be learned from: key, event, known and the features.
        labels: key and known; one that came early takes its row out.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    event = rows[EVENT].to_numpy()
    young = (event >= as_of - definition.label_delay) & (event < as_of)
    young &= rows[KNOWN].to_numpy() < as_of
    told = labels.filter(pc.less(labels[KNOWN], as_of))[KEY].combine_chunks()
    young &= ~pc.is_in(rows[KEY], value_set=told).to_numpy()
    positions = np.flatnonzero(young)
    return rows.take(pa.array(positions[np.argsort(event[positions], kind="stable")]))


def teach(
    training: TrainingSet, rows: pa.Table, teacher: Trained, definition: Definition
) -> Taught:
    """The training set with rows labelled by the teacher, unless these labels have collapsed.

    Args:
        training: true labels alone.
        rows: as of :func:`waiting`, those that may be taught.
        teacher: a model of true labels alone.
    """
    if not rows.num_rows:
        return Taught(training, 0, "no row waits for its label")
    chosen = spread(rows.num_rows, room(training.weights, rows.num_rows))
    rows = rows.take(chosen).combine_chunks()
    soft = soft_labels(teacher, rows, definition)
    note = collapsed(soft, *_on_true(training, teacher, definition, len(soft)))
    return Taught(training, 0, note) if note else Taught(_joined(training, rows, soft), len(soft))


def room(weights: Floats, rows: int) -> int:
    """How many of so many rows may be pseudo-labelled: true labels keep half the weight or more."""
    return min(rows, int(weights.sum(dtype="float64")))


def soft_labels(teacher: Trained, rows: pa.Table, definition: Definition) -> NDArray[np.float64]:
    """The teacher's probabilities of class 1, shape (rows,)."""
    matrix = encode(rows, definition.features, teacher.categories)
    return _scored(teacher, matrix, definition)


def collapsed(soft: Floats, fitted: Floats, labels: Floats) -> str:
    """Why soft labels are not to be learned from; empty where nothing speaks against it.

    Args:
        soft: what the teacher says of rows without labels, shape (rows,).
        fitted: what it says of its newest true rows, shape (true rows,).
        labels: of these, the labels.

    They have collapsed where their mean is further than :data:`MOVED` from the share of positives,
    or where they are more than :data:`WIDER` times as far apart as on the true rows (surer than
    what it learned allows), or so much less (it says the same of every row).
    """
    import numpy as np

    mean, rate = float(np.mean(soft)), float(np.mean(labels))
    if abs(mean - rate) > MOVED:
        return f"the mean soft label {mean:.3f} is more than {MOVED} from the true rate {rate:.3f}"
    wide, usual = float(np.std(soft)), float(np.std(fitted))
    if wide > WIDER * usual or wide < usual / WIDER or wide == 0:
        return (
            f"soft labels have a standard deviation of {wide:.3f}, on true rows {usual:.3f}: "
            f"more than {WIDER:g} times apart"
        )
    return ""


def _on_true(
    training: TrainingSet, teacher: Trained, definition: Definition, rows: int
) -> tuple[Floats, Floats]:
    """What the teacher says of as many of the newest true rows, and their labels."""
    import numpy as np

    matrix = training.matrix[-rows:].copy()
    for i, (name, kind) in enumerate(definition.features.items()):
        if kind == "category":  # the codes of the pupil's values as those of the teacher's
            known = {value: code for code, value in enumerate(teacher.categories[name])}
            own = [float(known.get(value, "nan")) for value in training.categories[name]]
            codes = np.nan_to_num(matrix[:, i], nan=len(own)).astype(np.int64)
            matrix[:, i] = np.array([*own, np.nan], dtype=np.float32)[codes]
    return _scored(teacher, matrix, definition), training.labels[-rows:]


def _scored(
    teacher: Trained, matrix: NDArray[np.float32], definition: Definition
) -> NDArray[np.float64]:
    import numpy as np

    model = booster(teacher.model, definition.train.threads)
    margins = model.inplace_predict(matrix, predict_type="margin")
    return scores_of("binary", np.asarray(margins, dtype=np.float64).reshape(-1))


def _joined(training: TrainingSet, rows: pa.Table, soft: NDArray[np.float64]) -> TrainingSet:
    import numpy as np

    matrix = encode(rows, training.features, training.categories)
    labels, weights = soft.astype(np.float32), np.ones(len(soft), dtype=np.float32)
    origin = np.repeat(np.array([TRUE, PSEUDO], dtype=np.uint8), [training.rows, len(soft)])
    digest = hashlib.sha256(bytes.fromhex(training.data_digest))
    digest.update(origin.data)
    hash_strings(digest, rows[KEY], np.arange(rows.num_rows))
    for part in (labels, matrix):
        digest.update(part.view("uint8").data)
    return replace(
        training,
        matrix=np.concatenate([training.matrix, matrix]),
        labels=np.concatenate([training.labels, labels]),
        weights=np.concatenate([training.weights, weights]),
        origin=origin,
        data_digest=digest.hexdigest(),
    )
