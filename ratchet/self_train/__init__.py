"""self_train: what is the best candidate that this evidence allows?

>>> labelled = join_labels(definition, accepted, labels, as_of)           # doctest: +SKIP
>>> cut = split(definition, as_of, labelled.events)                       # doctest: +SKIP
>>> history = encode_history(definition, labelled, cut.train_before)              # doctest: +SKIP
>>> training = training_set(history, definition, recipe)                  # doctest: +SKIP
>>> model = train(training, definition, recipe)                           # doctest: +SKIP

Promise: the same inputs give the same bytes, nothing after the cut is ever learned from, an
unlabelled row is never a negative, and history is encoded once for all recipes.
"""

from ratchet.self_train.bundled import (
    MIXTURE,
    Query,
    Trained,
    bundle_of,
    member_lineage,
    mixture_of,
)
from ratchet.self_train.choose import choose
from ratchet.self_train.earned import weigh_earned
from ratchet.self_train.economics import (
    Choice,
    Curve,
    Look,
    Offer,
    account,
    cells,
    fell,
    invest,
    last_training,
    looks,
    member_looks,
    short,
    staleness,
    units_of,
)
from ratchet.self_train.fit import train
from ratchet.self_train.halves import HalvesLoss, foreseen, halves_loss, has_halves, surprised
from ratchet.self_train.level import Level, LevelSeen, levelled_loss, see_level, settle_level
from ratchet.self_train.members import Moment, Plan, at, moments, now, plan
from ratchet.self_train.mixture import Weighing, nats, weigh
from ratchet.self_train.policies import Lost, Score, scores
from ratchet.self_train.pseudo import Taught, teach, waiting
from ratchet.self_train.rows import Cut, Labelled, join_labels, overlap, split, stand_in
from ratchet.self_train.search import entered, failed, judged, planned, scored
from ratchet.self_train.search_state import State, Trial, in_force
from ratchet.self_train.shares import SHARES, believed
from ratchet.self_train.temperature import (
    BOLDNESS,
    SHARPNESS,
    Temperature,
    sharpen,
    sharpness_losses,
    temper,
)
from ratchet.self_train.training_set import (
    History,
    TrainingSet,
    best_constant,
    encode_history,
    reference,
    training_set,
)

__all__ = [
    "BOLDNESS",
    "MIXTURE",
    "SHARES",
    "SHARPNESS",
    "Choice",
    "Curve",
    "Cut",
    "HalvesLoss",
    "History",
    "Labelled",
    "Level",
    "LevelSeen",
    "Look",
    "Lost",
    "Moment",
    "Offer",
    "Plan",
    "Query",
    "Score",
    "State",
    "Taught",
    "Temperature",
    "Trained",
    "TrainingSet",
    "Trial",
    "Weighing",
    "account",
    "at",
    "believed",
    "best_constant",
    "bundle_of",
    "cells",
    "choose",
    "encode_history",
    "entered",
    "failed",
    "fell",
    "foreseen",
    "halves_loss",
    "has_halves",
    "in_force",
    "invest",
    "join_labels",
    "judged",
    "last_training",
    "levelled_loss",
    "looks",
    "member_lineage",
    "member_looks",
    "mixture_of",
    "moments",
    "nats",
    "now",
    "overlap",
    "plan",
    "planned",
    "reference",
    "scored",
    "scores",
    "see_level",
    "settle_level",
    "sharpen",
    "sharpness_losses",
    "short",
    "split",
    "staleness",
    "stand_in",
    "surprised",
    "teach",
    "temper",
    "train",
    "training_set",
    "units_of",
    "waiting",
    "weigh",
    "weigh_earned",
]
