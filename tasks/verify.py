"""Rebuilds a model version from its lineage: is it what it says it is?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ratchet import self_train as core
from ratchet.adapters.code import code_digest
from ratchet.contracts.bundle import Bundle, sha256
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.errors import DefinitionError, RatchetError

if TYPE_CHECKING:
    from tasks.workspace import Workspace


def verify(workspace: Workspace, version: int) -> list[Evidence]:
    """Check the stored bytes, ask the training set's query again, train again, compare.

    Returns one evidence each: ``verify.stored``, ``verify.code`` (a warning when the code or its
    libraries have changed since), ``verify.rows`` (digest of the training set), ``verify.model``.

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
        rows, model = rebuild(workspace, bundle)
    except RatchetError as error:
        return [*found, Evidence("verify.rows", Verdict.ERROR, str(error))]
    return [
        *found,
        _same("verify.rows", rows, lineage.data_digest, Verdict.BLOCK),
        _same("verify.model", sha256(model), lineage.model_digest, Verdict.BLOCK),
    ]


def rebuild(workspace: Workspace, bundle: Bundle) -> tuple[str, bytes]:
    """The digest of the training set that the lineage asks for, and the model trained on it.

    Raises:
        DefinitionError: the pipeline no longer has the features that the model learned from.
    """
    from ratchet.contracts.recipes import Recipe
    from tasks.self_train import read_evidence

    lineage, definition = bundle.manifest.lineage, workspace.definition
    if dict(bundle.manifest.features) != dict(definition.features):
        raise DefinitionError(
            f"{workspace.name}: its features are no longer those of this version; check out the "
            f"definition with digest {lineage.definition_digest[:12]} and verify again"
        )
    window = workspace.calendar.parse(lineage.window)
    known = read_evidence(
        workspace,
        window,
        lineage.accepted_version,
        lineage.labels_version,
        lineage.revocations_version,
        lineage.trusted_version,
        lineage.sealed_share,
    )
    cut = replace(known.cut, train_before=lineage.train_before)
    recipe = Recipe.model_validate(dict(lineage.recipe))
    training = core.training_set(
        core.encode_history(definition, known.labelled, cut), definition, recipe
    )
    return training.data_digest, core.train(training, definition, recipe)


def _same(check: str, found: str, recorded: str, otherwise: Verdict) -> Evidence:
    if found == recorded:
        return Evidence(check, Verdict.PASS, f"{found[:12]}, as recorded")
    return Evidence(check, otherwise, f"found {found[:12]}, recorded {recorded[:12]}")
