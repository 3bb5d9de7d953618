"""Files that release 0.1 wrote stay readable. Never edit the files: a new layout adds new ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ratchet.adapters.bundle_files import read_bundle_files
from ratchet.contracts.bundle import FORMAT, Manifest, unpack
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.lineage import Decision, Lineage
from ratchet.contracts.score import predict
from ratchet.errors import ModelError
from ratchet.register import describe
from tests import small_bundle

GOLDEN = Path(__file__).parent.parent / "golden"


def content(name: str):
    return json.loads((GOLDEN / name).read_text())


def test_a_decision_of_the_first_layout_is_read_and_described():
    decision = Decision.from_json(content("decision-v1.json"))
    assert (decision.outcome, decision.champion_after) == ("promoted", 4)
    assert [e.verdict for e in decision.evidence] == [Verdict.PASS] * 3
    assert decision.lineage is not None
    assert decision.lineage.accepted_version == 9
    assert "now **version 4**" in describe(decision)


def test_the_digest_of_an_old_decision_stays_the_same():
    decision = Decision.from_json(content("decision-v1.json"))
    assert decision.digest == "a703b227bb9bdf72a4264e5fb7d762ea3ddcbed135316b0371fbc0bbcb17729d"


def test_a_lineage_of_the_first_layout_is_read():
    lineage = Lineage.from_json(content("lineage-v1.json"))
    assert (lineage.window, lineage.train_from, lineage.parent) == ("2013-03-05", None, None)


def test_a_manifest_of_the_first_layout_is_read_and_written_back_byte_by_byte():
    data = (GOLDEN / "manifest-v1.json").read_bytes()
    manifest = Manifest.from_bytes(data)
    assert list(manifest.features) == ["carrier", "hour", "distance"]
    assert manifest.to_bytes() == data


def test_a_mixture_with_sharpened_members_is_read_and_written_back_byte_by_byte():
    data = (GOLDEN / "manifest-v3.json").read_bytes()
    manifest = Manifest.from_bytes(data)
    assert manifest.format == 3
    assert {m.name: m.sharpness for m in manifest.lineage.members} == {"anchor": 0.75, "fresh": 1.0}
    assert manifest.to_bytes() == data


def test_a_model_of_the_first_layout_loads_and_predicts_what_it_did():
    expected = content("bundle-v1-scores.json")
    bundle = unpack(read_bundle_files(GOLDEN / "bundle-v1"), expected["digest"])
    scores = predict(bundle, small_bundle.rows(20, seed=3))
    assert np.allclose(scores, expected["scores"], atol=1e-6)


@pytest.mark.parametrize("name", ["decision-v1.json", "lineage-v1.json"])
def test_keys_of_newer_releases_are_ignored(name):
    reader = Decision if name.startswith("decision") else Lineage
    value = content(name)
    assert reader.from_json({**value, "added_later": 1}) == reader.from_json(value)


def test_a_manifest_of_a_newer_layout_is_refused_with_what_to_do():
    value = content("manifest-v1.json") | {"format": FORMAT + 1}
    with pytest.raises(ModelError, match="upgrade Ratchet"):
        Manifest.from_bytes(json.dumps(value).encode())
