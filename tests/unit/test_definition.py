"""A wrong file names the key, what was found and what is allowed; the digest covers every value."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.contracts.defence import Record, Shield, Trusted
from ratchet.contracts.definition import Definition, load, parse
from ratchet.contracts.recipes import Recipe
from ratchet.contracts.search import Search
from ratchet.contracts.sections import Source
from ratchet.errors import DefinitionError

PIPELINES = Path(__file__).parents[2] / "pipelines"
PAGE = PIPELINES.parent / "docs" / "reference" / "pipeline.md"
LONG = ("max_object_mib", "max_decoded_mib", "max_cell_chars")
SOUND = """
name = "tiny"

[source]
landing = "landing"
labels = "labels/**"
key = ["id"]

[time]
column = "t"

[label]
column = "y"
classes = [0, 1]
delay = "7d"

[features]
x = "number"
c = "category"

[validate]
suite = "expectations/tiny.json"

[[recipes]]
name = "all"

[gate]
slices = ["c"]
"""
DELETED = object()
DAY = 86_400_000_000


def document(**changes: Any) -> dict[str, Any]:
    """The sound document with changes such as ``time__window="7y"``."""
    out = copy.deepcopy(tomllib.loads(SOUND))
    for path, value in changes.items():
        *tables, key = path.split("__")
        table = out
        for name in tables:
            table = table[int(name)] if name.isdigit() else table.setdefault(name, {})
        if value is DELETED:
            del table[key]
        else:
            table[key] = value
    return out


def made(**changes: Any) -> Definition:
    return parse(tomlkit.dumps(document(**changes)), "tiny.toml")


# path, what is wrong, and what the message must hold besides the key
WRONG: list[tuple[str, Any, tuple[str, ...]]] = [
    ("name", "Bad Name", ("^[a-z]", "'Bad Name'")),
    ("name", "x" * 64, ("pattern",)),
    ("name", DELETED, ("is missing",)),
    ("source__landing", "", ("at least 1", "''")),
    ("source__known", "guessed", ("'declared' or 'arrival'", "'guessed'")),
    ("source__key", "id", ("tuple", "'id'")),
    ("source__key", [], ("need a key",)),
    ("source__max_object_mib", 0, ("greater than or equal to 1", "0")),
    ("source__max_object_mib", 65_537, ("less than or equal to 65536", "65537")),
    ("source__max_decoded_mib", 0, ("greater than or equal to 1",)),
    ("source__max_decoded_mib", 262_145, ("less than or equal to 262144",)),
    ("source__max_cell_chars", 0, ("greater than or equal to 1",)),
    ("source__max_cell_chars", 1_000_001, ("less than or equal to 1000000",)),
    ("time__column", "", ("at least 1",)),
    ("time__kind", "tick", ("'timestamp' or 'integer'", "'tick'")),
    ("time__zone", "Mars/Olympus", ("IANA", "'Mars/Olympus'")),
    ("time__window", "7y", ("7d, 2w, 12h", "'7y'")),
    ("time__window", 7, ("name a unit", "7")),
    ("time__window", "0d", ("more than 0",)),
    ("time__window", 1.5, ("integer", "1.5")),
    ("time__origin", "soon", ("ISO 8601", "'soon'")),
    ("label__column", DELETED, ("is missing",)),
    ("label__objective", "ranking", ("'binary', 'multiclass' or 'regression'", "'ranking'")),
    ("label__classes", [0], ("exactly 2 classes", "found 1")),
    ("label__classes", [0, 1, 2], ("exactly 2 classes", "found 3")),
    ("label__classes", [1, "1"], ("must differ", "[1, '1']")),
    ("label__classes", [0, 1.5], ("integer", "1.5")),
    ("label__delay", "soon", ("7d, 2w, 12h", "'soon'")),
    ("label__min_labelled_share", 1.01, ("less than or equal to 1", "1.01")),
    ("label__min_labelled_share", -0.01, ("greater than or equal to 0", "-0.01")),
    ("features", {}, ("at least 1",)),
    ("features__x", "text", ("'number' or 'category'", "'text'")),
    ("features___hidden", "number", ("Ratchet's own", "['_hidden']")),
    ("features__y", "number", ("'y' is the label",)),
    ("validate__suite", DELETED, ("is missing",)),
    ("validate__max_quarantined_share", 2, ("less than or equal to 1",)),
    ("validate__max_unseen_share", -1, ("greater than or equal to 0",)),
    ("validate__max_skill_loss", 1.5, ("less than or equal to 1",)),
    ("validate__min_rows", 0, ("greater than or equal to 1",)),
    ("train__seed", -1, ("greater than or equal to 0",)),
    ("train__seed", 2**31, ("less than 2147483648",)),
    ("train__threads", 0, ("greater than or equal to 1",)),
    ("train__threads", 257, ("less than or equal to 256",)),
    ("train__min_rows", 0, ("greater than or equal to 1",)),
    ("train__holdout_windows", 0, ("greater than or equal to 1",)),
    ("train__holdout_windows", 53, ("less than or equal to 52",)),
    ("train__max_categories", 1, ("greater than or equal to 2",)),
    ("recipes", [], ("expected either [[recipes]] or [mixture]", "found neither")),
    ("mixture", {}, ("expected either [[recipes]] or [mixture]", "found both")),
    ("recipes", [{"name": f"r{i}"} for i in range(33)], ("at most 32",)),
    ("recipes", [{"name": "all"}, {"name": "all"}], ("must differ", "['all', 'all']")),
    ("recipes__0__name", "A b", ("pattern", "'A b'")),
    ("recipes__0__history", 0, ("greater than or equal to 1",)),
    ("recipes__0__half_life", 0, ("greater than 0",)),
    ("recipes__0__rounds", 10_001, ("less than or equal to 10000",)),
    ("recipes__0__max_depth", 17, ("less than or equal to 16",)),
    ("recipes__0__learning_rate", 0, ("greater than 0",)),
    ("recipes__0__learning_rate", 1.1, ("less than or equal to 1",)),
    ("recipes__0__min_child_weight", -1, ("greater than or equal to 0",)),
    ("recipes__0__subsample", 0, ("greater than 0",)),
    ("recipes__0__colsample_bytree", 1.5, ("less than or equal to 1",)),
    ("recipes__0__reg_lambda", -0.1, ("greater than or equal to 0",)),
    ("recipes__0__reg_lambda", float("inf"), ("finite", "inf")),
    ("recipes__0__max_bin", 1, ("greater than or equal to 2",)),
    ("drift__sample", 99, ("greater than or equal to 100",)),
    ("drift__column_distance", 1.1, ("less than or equal to 1",)),
    ("drift__importance_share", -1, ("greater than or equal to 0",)),
    ("gate__alpha", 0.5, ("less than 0.5",)),
    ("gate__alpha", float("nan"), ("finite", "nan")),
    ("gate__resamples", 199, ("greater than or equal to 200",)),
    ("gate__blocks", 7, ("greater than or equal to 8",)),
    ("gate__min_rows", 0, ("greater than or equal to 1",)),
    ("gate__min_improvement", -0.1, ("greater than or equal to 0",)),
    ("gate__slices", ["month"], ("not among the features", "['month']")),
    ("gate__slice_min_rows", 0, ("greater than or equal to 1",)),
    ("gate__slice_margin", 1.1, ("less than or equal to 1",)),
    ("gate__floor", float("nan"), ("finite", "nan")),
    ("gate__max_calibration_error", 0, ("greater than 0",)),
    ("gate__calibration_margin", -1, ("greater than or equal to 0",)),
    ("trusted", {}, ("is missing",)),
    ("trusted", {"objects": ""}, ("at least 1",)),
    ("trusted", {"objects": "t/**", "min_rows": 19}, ("greater than or equal to 20", "19")),
    ("trusted", {"objects": "t/**", "keyed": "perhaps"}, ("boolean", "'perhaps'")),
    ("record", {"uri": ""}, ("at least 1",)),
    ("record", {"uri": "x.parquet", "lookups": 19}, ("greater than or equal to 20", "19")),
    ("record", {"uri": "x.parquet", "lookups": 10_001}, ("less than or equal to 10000",)),
    ("shield__alpha", 0, ("greater than 0",)),
    ("shield__alpha", 0.06, ("less than or equal to 0.05", "0.06")),
    ("shield__suspicion", 0, ("greater than 0",)),
    ("shield__suspicion", 0.6, ("less than or equal to 0.5",)),
    ("shield__lifetime_alpha", 0, ("greater than 0",)),
    ("shield__lifetime_alpha", 0.06, ("less than or equal to 0.05",)),
    ("shield__max_mismatch", 0, ("greater than 0",)),
    ("shield__max_mismatch", 0.5, ("less than 0.5",)),
    ("shield__max_source_share", 1.1, ("less than or equal to 1",)),
    ("shield__displacement", -0.1, ("greater than or equal to 0",)),
    ("search__trials", 9, ("less than or equal to 8", "9")),
    ("search__budget", 0, ("greater than 0",)),
    ("search__windows", 1, ("greater than or equal to 2", "1")),
    ("search__alpha", 0.5, ("less than 0.5",)),
    ("search__max_depth", 17, ("less than or equal to 16",)),
    ("search__max_rounds", 9, ("greater than or equal to 10",)),
]


@pytest.mark.parametrize(
    ("path", "value", "said"), WRONG, ids=[f"{p}={str(v)[:20]}" for p, v, _ in WRONG]
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    path: str, value: Any, said: tuple[str, ...]
) -> None:
    with pytest.raises(DefinitionError) as caught:
        made(**{path: value})
    lines = str(caught.value).splitlines()
    assert lines[0] == "tiny.toml:"
    assert len(lines) == 2, "one line a wrong key"
    key = path.removesuffix("___hidden").replace("__", ".")
    assert lines[1].strip().startswith(key.removesuffix(".classes").removesuffix(".y")), lines[1]
    assert path.rsplit("__", maxsplit=1)[-1].strip("_") in lines[1]
    for part in said:
        assert part in lines[1]


def test_what_does_not_fit_together_is_said() -> None:
    with pytest.raises(DefinitionError, match="features: 'x' is known only with the label"):
        made(label__known_column="x")
    with pytest.raises(DefinitionError, match=r"source.known: 'arrival' needs timestamps"):
        made(source__known="arrival", time__kind="integer", time__window=5, label__delay=0)
    with pytest.raises(DefinitionError, match=r"time.window: .*write a plain number"):
        made(time__kind="integer", time__window="7d", label__delay=0)
    with pytest.raises(DefinitionError, match=r"label.delay: .*write a plain number"):
        made(time__kind="integer", time__window=5)
    with pytest.raises(DefinitionError, match="multiclass takes 3 to 1000 classes, found 2"):
        made(label__objective="multiclass")
    with pytest.raises(DefinitionError, match="regression takes no classes, found 2"):
        made(label__objective="regression")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (
            "colour",
            "drift, economics, features, fitness, gate, label, mixture, name, notify, recipes, "
            "record, sealed, search, shield, source, time, train, true_objective, trusted, "
            "validate",
        ),
        ("source__colour", "features, ignore, key, known, labels, landing"),
        ("validate__colour", "max_quarantined_share, max_skill_loss"),
        ("train__colour", "holdout_windows, max_categories, min_rows, seed, threads"),
        ("recipes__0__colour", "learning_rate, max_bin, max_depth, min_child_weight, name"),
        ("gate__colour", "alpha, approval, approval_hours, blocks"),
    ],
)
def test_an_unknown_key_is_told_which_keys_there_are(path: str, allowed: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        made(**{path: "red"})
    said = str(caught.value)
    assert f"{path.replace('__', '.')}: no such key, found 'red'; allowed here: " in said
    assert allowed in said


SECTIONS = {
    "trusted": Trusted,
    "record": Record,
    "shield": Shield,
    "source": Source,
    "search": Search,
}


@pytest.mark.parametrize(
    ("section", "key"), [(s, k) for s, model in SECTIONS.items() for k in model.model_fields]
)
def test_the_page_names_every_key_of_the_defence(section: str, key: str) -> None:
    lines = PAGE.read_text("utf-8").split(f"## `[{section}]`", 1)[1].split("\n## ", 1)[0]
    (row,) = (line for line in lines.splitlines() if line.startswith(f"| `{key}`"))
    field = SECTIONS[section].model_fields[key]
    said = [cell.strip(" `") for cell in row.split("|")]
    if field.is_required():
        assert "required" in said
    elif isinstance(field.default, int | float | str):
        shown = {f"{field.default}".lower(), f"{field.default:,}" if key in LONG else ""}
        assert shown & set(said), row


def test_every_wrong_key_of_a_file_is_named_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        made(train__seed=-1, drift__sample=1, lable={"column": "y"}, label=DELETED)
    said = str(caught.value)
    assert [line.split(":")[0].strip() for line in said.splitlines()[1:]] == [
        "label",
        "train.seed",
        "drift.sample",
        "lable",
    ]


def test_a_huge_wrong_value_is_not_printed_whole() -> None:
    with pytest.raises(DefinitionError) as caught:
        made(time__kind="x" * 100_000)
    assert len(str(caught.value)) < 500


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"gone.toml: cannot be read"):
        load(tmp_path / "gone.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(DefinitionError, match=r"latin.toml: cannot be read.*utf-8"):
        load(latin)
    broken = tmp_path / "broken.toml"
    broken.write_text("name = \n")
    with pytest.raises(DefinitionError, match=r"broken.toml: not valid TOML.*line 1"):
        load(broken)


@pytest.mark.parametrize("path", sorted(PIPELINES.glob("*.toml")), ids=lambda p: p.stem)
def test_the_shipped_pipelines_load(path: Path) -> None:
    definition = load(path)
    assert definition.name == path.stem
    assert (PIPELINES.parent / definition.validate_.suite).is_file()
    assert definition.calendar.length > 0


def test_defaults_and_times() -> None:
    definition = made()
    assert definition.calendar.length == 7 * DAY
    assert definition.calendar.label(definition.calendar.window(0)) == "1970-01-05"
    assert definition.label_delay == 7 * DAY
    assert made(time__zone="America/New_York").time.zone == "America/New_York"
    counted = made(time__kind="integer", time__window=500, label__delay=3)
    assert (counted.calendar.origin, counted.calendar.length, counted.label_delay) == (0, 500, 3)
    assert made(time__kind="integer", time__window=5, label__delay=0, time__origin=3)


@pytest.mark.parametrize(
    "written",
    ['"2013-01-01"', "2013-01-01", "2013-01-01T00:00:00", "2013-01-01T01:00:00+01:00"],
)
def test_an_origin_may_be_written_as_text_or_as_a_date_of_toml(written: str) -> None:
    text = SOUND.replace('column = "t"', f'column = "t"\norigin = {written}')
    calendar = parse(text).calendar
    assert calendar.label(calendar.window(0)) == "2013-01-01"


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.text("abc #\t", max_size=20))
def test_the_digest_ignores_comments_and_the_order_of_tables(random: Any, comment: str) -> None:
    shuffled = tomlkit.document()
    shuffled.add(tomlkit.comment(comment))
    whole = document()
    # A plain key must stay above the tables, and features keep their order: it is the model's.
    shuffled["name"] = whole.pop("name")
    tables = sorted(whole)
    random.shuffle(tables)
    for name in tables:
        table = whole[name]
        if isinstance(table, dict) and name != "features":
            keys = sorted(table)
            random.shuffle(keys)
            table = {k: table[k] for k in keys}
        shuffled[name] = table
    assert parse(tomlkit.dumps(shuffled)).digest == made().digest


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each value of a document that is no table and no list."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from leaves(inner, (*path, key))
    else:
        yield path, value


BOTH = {"recipes": (Recipe(name="full"), Recipe(name="recent", history=8))}  # and a mixture
SHIPPED = load(PIPELINES / "flights.toml").model_copy(update=BOTH)
unchecked = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")


@unchecked
@pytest.mark.parametrize(
    "path",
    [p for p, _ in leaves(SHIPPED.model_dump(mode="json", by_alias=True, exclude={"notify"}))],
    ids=lambda p: ".".join(map(str, p)),
)
def test_the_digest_covers_every_value(path: tuple[Any, ...]) -> None:
    written = SHIPPED.model_dump(mode="json", by_alias=True)
    table: Any = written
    for part in path[:-1]:
        table = table[part]
    table[path[-1]] = _another(table[path[-1]])
    # Not validated: a rule may forbid the other value, the digest must see it all the same.
    changed = Definition.model_construct(**_parts(written))
    assert changed.digest != SHIPPED.digest


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else ["x"]


def _parts(written: dict[str, Any]) -> dict[str, Any]:
    """The document as unchecked parts, so that dumping it gives the same document."""
    out = {("validate_" if k == "validate" else k): v for k, v in written.items()}
    for name, field in Definition.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and hasattr(kind, "model_construct"):
            out[name] = kind.model_construct(**out[name])
    out["recipes"] = tuple(Recipe.model_construct(**r) for r in out["recipes"])
    return out


@unchecked
def test_an_unchecked_copy_has_the_digest_of_its_document() -> None:
    written = SHIPPED.model_dump(mode="json", by_alias=True)
    assert Definition.model_construct(**_parts(written)).digest == SHIPPED.digest
