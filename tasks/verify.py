"""Rebuilds a model version from its lineage: is it what it says it is?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from ratchet import self_train as core
from ratchet.adapters.code import code_digest
from ratchet.contracts.bundle import Bundle, sha256
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision, Lineage, digest_of, mixture_lineage
from ratchet.contracts.recipes import Member, Recipe
from ratchet.errors import DefinitionError, RatchetError
from tasks import decisions, members

if TYPE_CHECKING:
    from tasks.self_train import Evidence as Known
    from tasks.workspace import Workspace


def verify(workspace: Workspace, version: int) -> list[Evidence]:
    """Check the stored bytes, ask the training set's query again, train again, compare.

    Returns one evidence each: ``verify.stored``, ``verify.code`` (a warning when the code or its
    libraries have changed since), ``verify.rows`` (digest of the training set), ``verify.model``,
    with a search ``verify.recipe``, and for a mixture ``verify.weights``, before these
    ``verify.pseudo`` where a member has a teacher.

    Raises:
        NotFound: no such version.
        Tampered: the stored bytes are not those that were registered.
    """
    bundle = workspace.registry.load(workspace.name, version)
    lineage = bundle.manifest.lineage
    stored = f"every digest fits; manifest {bundle.digest[:12]}"
    found = [
        Evidence("verify.stored", Verdict.PASS, stored),
        _same("verify.code", code_digest(), lineage.code_digest, Verdict.WARN),
    ]
    try:
        again = rebuild(workspace, bundle)
    except RatchetError as error:
        return [*found, Evidence("verify.rows", Verdict.ERROR, str(error))]
    found += [
        _same("verify.rows", again.data_digest, lineage.data_digest, Verdict.BLOCK),
        _same("verify.model", again.model_digest, lineage.model_digest, Verdict.BLOCK),
    ]
    if any(m.recipe.get("teacher") for m in lineage.members):
        found.append(_same("verify.pseudo", _taught(again), _taught(lineage), Verdict.BLOCK))
    if workspace.definition.search is not None:
        found.append(_searched(workspace, lineage))
    return [*found, _weights(workspace, lineage, again)] if lineage.members else found


def rebuild(workspace: Workspace, bundle: Bundle) -> Lineage:
    """The lineage of the model that is trained when its lineage's query is asked again.

    Raises:
        DefinitionError: the pipeline no longer has the features that the model learned from.
    """
    from tasks.self_train import read_evidence

    lineage, definition = bundle.manifest.lineage, workspace.definition
    if dict(bundle.manifest.features) != dict(definition.features):
        raise DefinitionError(
            f"{workspace.name}: its features are no longer those of this version; check out the "
            f"definition with digest {lineage.definition_digest[:12]} and verify again"
        )
    known = read_evidence(
        workspace,
        workspace.calendar.parse(lineage.window),
        lineage.accepted_version,
        lineage.labels_version,
        lineage.revocations_version,
        lineage.trusted_version,
        lineage.sealed_share,
    )
    if lineage.members:
        return _mixture(workspace, known, lineage)
    recipe = Recipe.model_validate(dict(lineage.recipe))
    history = core.encode_history(definition, known.labelled, lineage.train_before)
    training = core.training_set(history, definition, recipe)
    model = core.train(training, definition, recipe)
    return replace(lineage, data_digest=training.data_digest, model_digest=sha256(model))


def _mixture(workspace: Workspace, known: Known, lineage: Lineage) -> Lineage:
    parts: list[core.Trained] = []
    for member in lineage.members:
        recipe = Member.model_validate(dict(member.recipe))
        moment = core.Moment(recipe, member.as_of, member.train_from, member.train_before)
        teacher = next((p for p in parts if p.name == recipe.teacher), None)
        halves = member.halves is not None
        parts.append(members.train(workspace, known, moment, lineage.as_of, teacher, halves=halves))
    again = [
        replace(
            m,
            data_digest=p.data_digest,
            model_digest=sha256(p.model),
            pseudo_rows=p.pseudo_rows,
            pseudo_from=p.pseudo_from,
            pseudo_note=p.pseudo_note,
            halves=told.halves,
            levelled_halves=None if m.levelled_halves is None else told.levelled_halves,
        )
        for m, p in zip(lineage.members, parts, strict=True)
        for told in [core.member_lineage(p, 0.0)]
    ]
    return mixture_lineage(lineage, again)


def _taught(lineage: Lineage) -> str:
    """What its members learned of teachers, as one digest."""
    return digest_of(
        [[m.name, m.pseudo_rows, m.pseudo_from, m.pseudo_note] for m in lineage.members]
    )


def _made_by(workspace: Workspace, lineage: Lineage) -> Decision | None:
    """The first decision that names this model."""
    return next(
        (
            d
            for d in decisions.done(workspace)
            if d.lineage is not None and d.lineage.model_digest == lineage.model_digest
        ),
        None,
    )


def _searched(workspace: Workspace, lineage: Lineage) -> Evidence:
    """Whether the hyperparameters are those that the search's state gave before this model."""
    name, definition = "verify.recipe", workspace.definition
    made = _made_by(workspace, lineage)
    if made is None or lineage.definition_digest != definition.digest:
        text = "no decision under this definition names this model, so it is not known what held"
        return Evidence(name, Verdict.INCONCLUSIVE, text)
    before = decisions.before(workspace, made)
    state = core.State.from_json(before[-1].ledger.get("search", {}) if before else {})
    declared = definition.mixture.members if definition.mixture else definition.recipes
    held = {r.name: core.in_force(state, r, made.window_index) for r in declared}
    used = [m.recipe for m in lineage.members] or [lineage.recipe]
    wrong = [u["name"] for u in used if held[u["name"]].model_dump(mode="json") != dict(u)]
    changed = [c.name for c in state.changes if c.window < made.window_index]
    text = f"as declared and as {len(changed)} changes before it have left them"
    if wrong:
        text = f"{', '.join(wrong)}: not what earlier decisions give"
    return Evidence(name, Verdict.BLOCK if wrong else Verdict.PASS, text)


def _weights(workspace: Workspace, lineage: Lineage, again: Lineage) -> Evidence:
    """Whether the decisions before it give these weights, sharpness, level and temperature."""
    name = "verify.weights"
    made = _made_by(workspace, lineage)
    if made is None:
        text = "no decision names this model, so what its members had shown is not known"
        return Evidence(name, Verdict.INCONCLUSIVE, text)
    before = decisions.before(workspace, made)
    recorded = {m.name: m.weight for m in lineage.members}
    found = members.weigh(workspace.definition, before, again.members).weights
    given = members.level(workspace.definition, before).shift
    warmth = members.temper(before).value
    worst = max(abs(found[n] - weight) for n, weight in recorded.items())
    sharp = members.sharpen(before, list(recorded))
    worst = max(worst, *(abs(sharp[m.name] - m.sharpness) for m in lineage.members))
    worst = max(worst, abs(warmth - lineage.temperature), _apart(lineage.level, given))
    shown = ", ".join(f"{m.name} {m.weight:.4f} x {m.sharpness:.4f}" for m in lineage.members)
    shown += "".join(f", level {shift:+.4f}" for shift in lineage.level)
    shown += f", temperature {lineage.temperature:.4f}"
    text = f"{shown}; from the losses of earlier decisions they differ by at most {worst:.1g}"
    if worst < 1e-9:
        return Evidence(name, Verdict.PASS, text)
    if lineage.code_digest != code_digest():
        text += "; it was made by other code, which may have weighed otherwise: verify it with that"
        return Evidence(name, Verdict.INCONCLUSIVE, text)
    return Evidence(name, Verdict.BLOCK, text)


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    """The largest difference; one that is missing is none at all."""
    pairs = zip_longest(one, other, fillvalue=0.0)
    return max((abs(a - b) for a, b in pairs), default=0.0)


def _same(check: str, found: str, recorded: str, otherwise: Verdict) -> Evidence:
    if found == recorded:
        return Evidence(check, Verdict.PASS, f"{found[:12]}, as recorded")
    return Evidence(check, otherwise, f"found {found[:12]}, recorded {recorded[:12]}")
