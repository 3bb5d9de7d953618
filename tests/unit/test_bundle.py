"""A model as stored: what goes in comes out, and nothing else is accepted."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.bundle import (
    MANIFEST,
    MODEL,
    REFERENCE,
    Bundle,
    Manifest,
    sha256,
    unpack,
)
from ratchet.contracts.score import booster, encode, predict, unseen
from ratchet.errors import ModelError, Tampered
from tests.learning import candidate, definition, labels_of, prepare, stream

FEATURES = {"x": "number", "kind": "category"}
KNOWN = {"kind": ("a", "b")}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    rows, y = stream(rows=600)
    pipeline = definition()
    return candidate(pipeline, prepare(pipeline, rows, labels_of(rows, y), 1000)[2])


def test_a_manifest_survives_its_bytes(bundle: Bundle) -> None:
    data = bundle.manifest.to_bytes()
    assert Manifest.from_bytes(data) == bundle.manifest
    assert Manifest.from_bytes(data).to_bytes() == data
    assert list(bundle.manifest.features) == ["x", "z", "kind"]
    assert sha256(data) == bundle.digest


def test_a_manifest_of_a_newer_release_says_so(bundle: Bundle) -> None:
    newer = bundle.manifest.to_bytes().replace(b'"format":1', b'"format":4')
    with pytest.raises(ModelError, match="this release reads up to 3; upgrade Ratchet"):
        Manifest.from_bytes(newer)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"[]", b"{}", b'{"format": "x"}', b"[" * 100_000, b"null"]
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="not a manifest"):
        Manifest.from_bytes(data)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_manifest_never_gives_a_traceback(data: st.DataObject) -> None:
    manifest = Manifest.from_bytes(GOLDEN)
    value = json.loads(manifest.to_bytes())
    key = data.draw(st.sampled_from(sorted(value)))
    value[key] = data.draw(st.sampled_from([None, 0, "x", [], {}, [[1]], {"kind": 3}]))
    try:
        Manifest.from_bytes(json.dumps(value).encode())
    except ModelError as error:
        assert "manifest" in str(error)


def test_files_are_checked_before_they_are_parsed(bundle: Bundle) -> None:
    files = bundle.files()
    assert unpack(files, bundle.digest) == bundle
    with pytest.raises(Tampered, match=r"manifest.json: digest .*, expected"):
        unpack(files, "0" * 64)
    for name in (MODEL, REFERENCE):
        bent = bytearray(files[name])
        bent[len(bent) // 2] ^= 1
        with pytest.raises(Tampered, match=f"{name}: digest"):
            unpack({**files, name: bytes(bent)}, bundle.digest)
    with pytest.raises(Tampered, match=r"missing: \['model.ubj'\]"):
        unpack({MANIFEST: files[MANIFEST], REFERENCE: b""}, bundle.digest)


def test_a_model_that_xgboost_cannot_read_is_named() -> None:
    with pytest.raises(ModelError, match="XGBoost cannot read it"):
        booster(b"not a model", 1)


def test_columns_are_taken_by_name_and_missing_or_unseen_is_nan() -> None:
    rows = pa.table(
        {"kind": ["b", None, "new", "a"], "extra": [1, 2, 3, 4], "x": [1.5, None, 2, 3]}
    )
    matrix = encode(rows, FEATURES, KNOWN)
    assert matrix.dtype == np.float32
    assert np.array_equal(matrix, [[1.5, 1], [np.nan, np.nan], [2, np.nan], [3, 0]], equal_nan=True)
    assert len({m.tobytes() for m in matrix[np.isnan(matrix)]}) == 1


@pytest.mark.parametrize(
    "kind",
    [
        pa.array(["b", None, "c"], pa.large_string()),
        pa.array(["b", None, "c"]).dictionary_encode(),
        pa.chunked_array([["b"], [None, "c"]]),
    ],
)
def test_any_kind_of_text_column_is_a_category(kind: pa.Array) -> None:
    matrix = encode(pa.table({"kind": kind}), {"kind": "category"}, KNOWN)
    assert np.array_equal(matrix[:, 0], [1, np.nan, np.nan], equal_nan=True)


def test_any_kind_of_number_column_is_a_number_and_null_columns_are_missing() -> None:
    for column in (
        pa.array([1, 2]),
        pa.array([1, 2], pa.uint8()),
        pa.array([1.0, 2.0], pa.float32()),
    ):
        assert encode(pa.table({"x": column}), {"x": "number"}, {})[:, 0].tolist() == [1, 2]
    assert encode(pa.table({"x": [True, False]}), {"x": "number"}, {})[:, 0].tolist() == [1, 0]
    empty = pa.table({"x": pa.nulls(2), "kind": pa.nulls(2)})
    assert np.isnan(encode(empty, FEATURES, KNOWN)).all()
    assert encode(empty.slice(0, 0), FEATURES, KNOWN).shape == (0, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"x": [1.0]}, "column 'kind' is missing; found"),
        ({"x": ["1"], "kind": ["a"]}, "column 'x' is string, expected a number"),
        ({"x": [1.0], "kind": [1]}, "column 'kind' is int64, expected a category"),
    ],
)
def test_wrong_columns_are_named(rows: dict[str, list[object]], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        encode(pa.table(rows), FEATURES, KNOWN)


def test_a_category_feature_needs_its_values() -> None:
    with pytest.raises(ModelError, match="names no values for it"):
        encode(pa.table({"kind": ["a"]}), {"kind": "category"}, {})


def test_unseen_categories_are_counted_and_missing_ones_are_not(bundle: Bundle) -> None:
    rows = pa.table({"kind": ["a", None, "new", "newer"]})
    assert unseen(rows, bundle) == {"kind": 2}
    assert unseen(rows.slice(0, 0), bundle) == {"kind": 0}
    with pytest.raises(ModelError, match="'kind' is missing"):
        unseen(pa.table({"x": [1.0]}), bundle)


def test_scores_are_probabilities_and_no_rows_give_no_scores(bundle: Bundle) -> None:
    rows, _ = stream(rows=50, seed=9)
    scores = predict(bundle, rows)
    assert scores.shape == (50,)
    assert ((scores > 0) & (scores < 1)).all()
    assert predict(bundle, rows.slice(0, 0)).shape == (0,)
    huge = rows.set_column(rows.column_names.index("x"), "x", pa.array([1e300] * 50))
    assert np.isfinite(predict(bundle, huge)).all()


def test_scores_that_are_not_finite_never_leave(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def inplace_predict(self, matrix: np.ndarray) -> np.ndarray:
            return np.full(len(matrix), np.nan)

    monkeypatch.setattr("ratchet.contracts.score.booster", lambda model, threads: Broken())
    with pytest.raises(ModelError, match="not finite; it must not serve"):
        predict(bundle, stream(rows=5)[0])


# Written by release 0.1; every later release must read it.
GOLDEN = (
    b'{"categories":{"kind":["a","b"]},"classes":["no","yes"],"features":[["x","number"],["kind",'
    b'"category"]],"files":{"model.ubj":"aa","reference.parquet":"bb"},"format":1,"gains":{"kind":'
    b'0.25,"x":0.75},"lineage":{"accepted_version":3,"as_of":1000,"code_digest":"c0de","data_digest"'
    b':"da7a","definition_digest":"def1","labels_version":4,"model_digest":"aa","parent":null,'
    b'"pipeline":"toy","recipe":{"name":"all"},"rows":10,"seed":7,"threads":1,"train_before":800,'
    b'"train_from":null,"window":"900"},"objective":"binary"}'
)


def test_a_manifest_of_the_first_release_stays_readable() -> None:
    manifest = Manifest.from_bytes(GOLDEN)
    assert manifest.classes == ("no", "yes")
    assert manifest.lineage.train_before == 800
    assert manifest.to_bytes() == GOLDEN


def test_a_model_is_asked_as_if_no_row_had_what_does_not_come_any_more(bundle: Bundle) -> None:
    features = bundle.manifest.features
    rows = pa.table({n: [1.5, None] if k == "number" else ["a", None] for n, k in features.items()})
    assert bundle.given(features).without == frozenset()
    for gone in features:
        asked = bundle.given([name for name in features if name != gone])
        empty = rows.set_column(rows.column_names.index(gone), gone, pa.nulls(2))
        assert (predict(asked, rows.drop([gone])) == predict(bundle, empty)).all()
        assert (predict(asked, rows) == predict(bundle, empty)).all()
        assert gone not in unseen(rows.drop([gone]), asked)
        with pytest.raises(ModelError, match=f"'{gone}' is missing"):
            predict(bundle, rows.drop([gone]))
