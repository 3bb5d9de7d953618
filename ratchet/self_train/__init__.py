"""self_train: what is the best candidate that this evidence allows?

>>> labelled = join_labels(definition, accepted, labels, as_of)           # doctest: +SKIP
>>> cut = split(definition, as_of, labelled.events)                       # doctest: +SKIP
>>> history = encode_history(definition, labelled, cut)                   # doctest: +SKIP
>>> training = training_set(history, definition, recipe)                  # doctest: +SKIP
>>> model = train(training, definition, recipe)                           # doctest: +SKIP

Promise: the same inputs give the same bytes, nothing after the cut is ever learned from, an
unlabelled row is never a negative, and history is encoded once for all recipes.
"""

from ratchet.self_train.choose import choose
from ratchet.self_train.fit import bundle_of, train
from ratchet.self_train.members import STANDARD, Plan, Span, plan, residual_recipe
from ratchet.self_train.mixture import Weighing, mix, scores_of, weigh
from ratchet.self_train.rows import Cut, Labelled, join_labels, overlap, split, stand_in
from ratchet.self_train.training_set import History, TrainingSet, encode_history, training_set

__all__ = [
    "STANDARD",
    "Cut",
    "History",
    "Labelled",
    "Plan",
    "Span",
    "TrainingSet",
    "Weighing",
    "bundle_of",
    "choose",
    "encode_history",
    "join_labels",
    "mix",
    "overlap",
    "plan",
    "residual_recipe",
    "scores_of",
    "split",
    "stand_in",
    "train",
    "training_set",
    "weigh",
]
