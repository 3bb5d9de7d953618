"""What was trained, as a bundle: the boosters, where they came from, a sample of what they learned.

>>> bundle = bundle_of(training, model, definition, recipe, query)        # doctest: +SKIP
>>> bundle = mixture_of(parts, weights, definition, query, reference)     # doctest: +SKIP
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ratchet.contracts.bundle import MODEL, Bundle, Manifest, member_file, pack
from ratchet.contracts.lineage import Lineage, MemberLineage
from ratchet.contracts.score import booster

if TYPE_CHECKING:
    import pyarrow as pa

    from ratchet.contracts.definition import Definition
    from ratchet.contracts.recipes import Recipe
    from ratchet.self_train.halves import HalvesLoss
    from ratchet.self_train.members import Moment
    from ratchet.self_train.training_set import Categories, TrainingSet

MIXTURE = "mixture"  # what a candidate that holds several recipes is called


@dataclass(frozen=True)
class Query:
    """What the tables were asked, and by whom.

    Attributes:
        window: the label of the cycle's window.
        as_of: ticks.
        accepted_version, labels_version, revocations_version, trusted_version: of the tables that
            were read.
        code_digest: digest of the code that trains.
        parent: the champion's version at this time, or None.
        sealed_share: of all rows that were sealed, and so left out.
    """

    window: str
    as_of: int
    accepted_version: int
    labels_version: int
    code_digest: str
    parent: int | None
    revocations_version: int = -1
    trusted_version: int = -1
    sealed_share: float = 0.0


@dataclass(frozen=True)
class Trained:
    """A member's model, and what it was made from.

    Attributes:
        moment: the training.
        model: UBJ.
        rows: how many were learned from.
        data_digest: SHA-256 (hex) of the training set.
        categories: the values that the model knows.
        pseudo_rows: how many more it learned with a teacher's label.
        pseudo_from: ticks; their events lie from there on. None without any.
        pseudo_note: why a member with a teacher learned none.
        halves: see :func:`ratchet.self_train.halves.halves_loss`.
    """

    moment: Moment
    model: bytes
    rows: int
    data_digest: str
    categories: Categories
    pseudo_rows: int = 0
    pseudo_from: int | None = None
    pseudo_note: str = ""
    halves: HalvesLoss | None = None

    @property
    def name(self) -> str:
        """The member's."""
        return self.moment.member.name


def bundle_of(
    training: TrainingSet, model: bytes, definition: Definition, recipe: Recipe, query: Query
) -> Bundle:
    """The bundle of one trained model: manifest with lineage and gains, model, reference sample."""
    lineage = Lineage(
        **_asked(definition, query),
        recipe=recipe.model_dump(mode="json"),
        train_from=training.train_from,
        train_before=training.train_before,
        rows=training.rows,
        data_digest=training.data_digest,
    )
    manifest = Manifest(
        objective=definition.label.objective,
        classes=definition.label.classes,
        features=dict(training.features),
        categories=dict(training.categories),
        gains=gains(model, list(training.features), definition.train.threads),
        lineage=lineage,
    )
    return pack(manifest, {MODEL: model}, _parquet(training.reference))


def mixture_of(
    parts: Sequence[Trained],
    weights: Mapping[str, float],
    definition: Definition,
    query: Query,
    train_before: int,
    reference: pa.Table,
    temperature: float = 1.0,
    level: tuple[float, ...] = (),
    sharpness: Mapping[str, float] | None = None,
) -> Bundle:
    """The bundle of several models that are mixed.

    Args:
        parts: at least one.
        weights: member to weight; those of ``parts`` are scaled to sum to 1.
        train_before: ticks; nothing later was learned by any part.
        reference: a sample of what was learned from, for drift.
        temperature: what the mixed margins are divided by.
        level: what is added to them before.
        sharpness: member to what its margins are multiplied by, before they are mixed; 1 for all by
            default.
    """
    sharp = sharpness or {}
    total = sum(weights[p.name] for p in parts)
    shares = {p.name: weights[p.name] / total for p in parts}
    starts = [p.moment.train_from for p in parts]
    lineage = Lineage(
        **_asked(definition, query),
        recipe={"name": MIXTURE},
        train_from=None if None in starts else min(s for s in starts if s is not None),
        train_before=train_before,
        rows=max(p.rows for p in parts),
        data_digest="",  # of its members, by pack
        members=tuple(member_lineage(p, shares[p.name], sharp.get(p.name, 1.0)) for p in parts),
        temperature=temperature,
        level=level,
    )
    manifest = Manifest(
        objective=definition.label.objective,
        classes=definition.label.classes,
        features=dict(definition.features),
        categories=_known_to_any(parts),
        gains=_mean_gains(parts, shares, definition),
        lineage=lineage,
        member_categories={p.name: dict(p.categories) for p in parts},
    )
    return pack(manifest, {member_file(p.name): p.model for p in parts}, _parquet(reference))


def _asked(definition: Definition, query: Query) -> dict[str, Any]:
    return {
        "pipeline": definition.name,
        "definition_digest": definition.digest,
        "seed": definition.train.seed,
        "threads": definition.train.threads,
        **vars(query),
    }


def member_lineage(part: Trained, weight: float, sharpness: float = 1.0) -> MemberLineage:
    """What the lineage says of a member."""
    moment = part.moment
    return MemberLineage(
        name=part.name,
        weight=weight,
        recipe=moment.member.model_dump(mode="json"),
        as_of=moment.as_of,
        train_from=moment.train_from,
        train_before=moment.train_before,
        rows=part.rows,
        data_digest=part.data_digest,
        pseudo_rows=part.pseudo_rows,
        pseudo_from=part.pseudo_from,
        pseudo_note=part.pseudo_note,
        halves=part.halves.mean if part.halves else None,
        levelled_halves=part.halves.levelled if part.halves else None,
        sharpness=sharpness,
    )


def _known_to_any(parts: Sequence[Trained]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for part in parts:
        for name, values in part.categories.items():
            found.setdefault(name, set()).update(values)
    return {name: tuple(sorted(values)) for name, values in found.items()}


def _mean_gains(
    parts: Sequence[Trained], weights: Mapping[str, float], definition: Definition
) -> dict[str, float]:
    features = list(definition.features)
    each = {p.name: gains(p.model, features, definition.train.threads) for p in parts}
    return {f: sum(weights[n] * found[f] for n, found in each.items()) for f in features}


def gains(model: bytes, features: list[str], threads: int) -> dict[str, float]:
    """Each feature's share of the model's total gain; sums to 1, or all 0 without any split."""
    scores = booster(model, threads).get_score(importance_type="total_gain")
    found = [float(scores.get(f"f{i}", 0.0)) for i in range(len(features))]
    total = sum(found)
    return {n: g / total if total > 0 else 0.0 for n, g in zip(features, found, strict=True)}


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), out, compression="zstd")
    return out.getvalue()
