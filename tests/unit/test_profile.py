"""profile: from data to a pipeline that runs, and to rules that let it drift."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratchet.adapters.expectations import GreatExpectations
from ratchet.contracts.definition import Definition, parse
from ratchet.contracts.recipes import NAME, Mixture
from ratchet.errors import DefinitionError
from ratchet.profile import InitOptions, infer, name_from, pipeline_toml, sentences, suite_json
from ratchet.validate import check_columns, judge_rows, verdict

START = datetime(2024, 1, 1, tzinfo=UTC)


def stream(n: int = 5000, seed: int = 0, days: float = 140, **columns) -> pa.Table:
    """A sample with timestamps, numbers, categories and a binary label; None drops a column."""
    rng = np.random.default_rng(seed)
    micros = (np.arange(n) * (days * 86_400e6 / n)).astype(np.int64)
    low = rng.normal(40, 5, n)
    content = {
        "at": pa.array(micros + int(START.timestamp() * 1e6), pa.timestamp("us", "UTC")),
        "temp_low": pa.array(low),
        "temp_high": pa.array(low + rng.exponential(8, n)),
        "visits": pa.array(rng.poisson(4, n)),
        "color": pa.array(rng.choice(["red", "green", "blue"], n, p=[0.5, 0.3, 0.2])),
        "y": pa.array(np.where(rng.random(n) < 0.2, "yes", "no")),
        **columns,
    }
    return pa.table({k: v for k, v in content.items() if v is not None})


def options(**changes) -> InitOptions:
    return InitOptions(**{"name": "toy", "path": Path("data/toy.csv"), "label": "y", **changes})


def pipeline(table: pa.Table, **changes) -> Definition:
    """The definition that init would write, as the loop would load it."""
    return parse(pipeline_toml(infer(table, options(**changes))))


# time


def moments(n: int = 5000) -> list[datetime]:
    return [START + timedelta(minutes=40 * i) for i in range(n)]


@pytest.mark.parametrize(
    ("column", "kind", "zone"),
    [
        (pa.array(moments()), "timestamp", None),
        (pa.array([m.replace(tzinfo=None) for m in moments()]), "timestamp", "UTC"),
        (pa.array([m.date() for m in moments()]), "timestamp", None),
        (pa.array([m.isoformat() for m in moments()]), "timestamp", None),
        (pa.array([m.isoformat()[:19] for m in moments()]), "timestamp", "UTC"),
        (pa.array([f"{m.date()}" for m in moments()]), "timestamp", None),
        (pa.array([f"{m.date()}T05:00Z" for m in moments()]), "timestamp", None),
        (pa.array(range(5000)), "integer", None),
        (pa.array([float(i // 3) for i in range(5000)]), "integer", None),
    ],
    ids=["aware", "naive", "date", "iso", "iso naive", "iso date", "iso short", "int", "float"],
)
def test_the_time_column_is_found_whatever_holds_it(column, kind, zone):
    table = stream(at=column)
    found = infer(table, options())
    assert (found.time.column, found.time.kind, found.time.zone) == ("at", kind, zone)
    definition = parse(pipeline_toml(found))
    assert (definition.time.kind, definition.time.zone) == (kind, zone)
    said = " ".join(sentences(found))
    assert ("read as UTC" in said) == (zone is not None)
    first = definition.calendar.window_of(int(found.time.ticks.min()))
    assert first.index == 0 and first.start <= found.time.ticks.min()
    assert definition.calendar.window_of(int(found.time.ticks.max())).index == (
        found.time.windows - 1
    )


def test_text_with_fractions_of_a_second_and_an_offset_names_its_zone():
    texts = pa.array([f"{m.isoformat()[:19]}.125+01:00" for m in moments()])
    assert infer(stream(at=texts), options()).time.zone is None


@pytest.mark.parametrize(
    ("unit", "each"), [("seconds", 1), ("milliseconds", 10**3), ("nanoseconds", 10**9)]
)
def test_a_computers_clock_is_pointed_out(unit, each):
    column = pa.array([int(m.timestamp()) * each + each - 1 for m in moments()])
    said = " ".join(sentences(infer(stream(at=column), options())))
    assert f"These may be {unit} since 1970, from {moments()[0].date()} to " in said
    assert f"write a day as {86_400 * each} in" in said


@pytest.mark.parametrize("start", [0, 10**5, 10**7])
def test_a_counter_is_not_taken_for_a_clock(start):
    column = pa.array(range(start, start + 5000))
    assert "1970" not in " ".join(sentences(infer(stream(at=column), options())))


def test_timestamps_are_preferred_to_integers_and_hinted_names_to_others():
    table = stream(at=None, seq=pa.array(range(5000)), other=pa.array(moments()))
    assert infer(table, options()).time.column == "other"
    table = table.append_column("created_at", pa.array(moments()))
    assert infer(table, options()).time.column == "created_at"
    assert infer(table, options(time="seq")).time.column == "seq"


def test_the_time_when_a_label_became_known_is_not_the_event_time():
    table = stream(at=None, seen=pa.array(moments()), decided_at=pa.array(moments()))
    found = infer(table, options(label_time="decided_at", label_delay="2d"))
    assert found.time.column == "seen"
    definition = parse(pipeline_toml(found))
    assert definition.label.known_column == "decided_at"
    assert definition.label_delay == 2 * 86_400 * 1_000_000
    assert "decided_at" not in definition.features


def test_how_long_labels_take_is_inferred_from_when_they_became_known():
    late = np.random.default_rng(2).uniform(0, 35, 5000)
    events = moments()
    known = pa.array([at + timedelta(days=d) for at, d in zip(events, late, strict=True)])
    table = stream(at=pa.array(events), decided_at=known)
    found = infer(table, options(label_time="decided_at", time="at"))
    assert parse(pipeline_toml(found)).label_delay == 32 * 86_400 * 1_000_000
    assert any("90% of them came within 32d" in s for s in sentences(found))
    at_once = infer(stream(decided_at=stream()["at"]), options(label_time="decided_at", time="at"))
    assert parse(pipeline_toml(at_once)).label_delay == 0


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        (stream(), {"label_time": "color"}, "--label-time 'color': holds string"),
        (stream(at=None), {}, "no time column found"),
        (stream(), {"time": "when"}, "--time 'when': expected one such column"),
        (stream(), {"time": "color"}, "--time 'color': holds string such as"),
        (stream(), {"time": "temp_low"}, "holds double"),
        (stream(at=pa.nulls(5000, pa.timestamp("us"))), {"time": "at"}, "holds timestamp"),
        (stream(), {"window": "500"}, "name a unit"),
        (stream(), {"window": "0d"}, "expected more than 0"),
        (stream(at=pa.array(range(5000))), {"window": "7d"}, "write a plain number"),
        (stream(), {"label_delay": "soon"}, "expected a form such as 7d"),
        (stream(), {"label": "nope"}, "--label 'nope'"),
        (stream(), {"key": "nope"}, "--key 'nope'"),
        (stream(), {"label_time": "nope"}, "--label-time 'nope'"),
        (stream(), {"label": "at", "time": "at"}, "."),
        (stream(50), {}, "50 rows, expected at least 100"),
    ],
)
def test_what_cannot_be_inferred_is_refused_with_what_to_pass(table, changes, message):
    with pytest.raises(DefinitionError, match=message):
        infer(table, options(**changes))


@pytest.mark.parametrize(
    ("n", "days", "window"),
    [
        (5000, 140, "14d"),
        (330_000, 364, "7d"),
        (50_000, 40, "1d"),
        (20_000, 1.7, "1h"),
        (5000, 2000, "364d"),
        (200, 60, "7d"),
    ],
)
def test_windows_are_round_and_hold_enough_rows(n, days, window):
    found = infer(stream(n, days=days), options())
    assert 5 <= found.time.windows <= 60
    if n >= 20_000:
        assert found.time.window == window
        assert n / found.time.windows >= 400


@given(n=st.integers(200, 3000), step=st.integers(1, 10**7), start=st.integers(-(10**9), 10**9))
@settings(max_examples=30, deadline=None)
def test_integer_windows_are_round_and_cover_all_rows(n, step, start):
    table = stream(n, at=pa.array(np.arange(n) * step + start))
    found = infer(table, options(time="at"))
    assert str(found.time.length).rstrip("0") in ("1", "2", "5")
    definition = parse(pipeline_toml(found))
    calendar = definition.calendar
    assert calendar.window_of(start).index == 0
    assert calendar.window_of(start + (n - 1) * step).index == found.time.windows - 1


def test_rows_without_a_time_are_counted():
    table = stream(at=pa.array([None] * 30 + moments(4970)))
    found = infer(table, options())
    assert any("30 rows have no time" in s for s in sentences(found))
    json.dumps(suite_json(found, table))


# label


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["yes", "no"], ("no", "yes")),
        (["n", "y"], ("n", "y")),
        ([1, 0], (0, 1)),
        ([1.0, 0.0], (0, 1)),
        ([-1, 1], (-1, 1)),
        ([True, False], (False, True)),
        (["Positive", "Negative"], ("Negative", "Positive")),
        (["churned", "stays", "stays"], ("stays", "churned")),
        ([2, 2, 1], (2, 1)),
    ],
)
def test_classes_of_two_values_come_in_a_sensible_order(values, classes):
    labels = pa.array((values * 5000)[:5000])
    definition = pipeline(stream(y=labels))
    assert definition.label.objective == "binary"
    assert definition.label.classes == classes
    assert [type(c) for c in definition.label.classes] == [type(c) for c in classes]
    assert definition.gate.floor == 0.5


@pytest.mark.parametrize(
    ("labels", "objective", "classes"),
    [
        (["a", "b", "c"], "multiclass", ("a", "b", "c")),
        ([3, 1, 2], "multiclass", (1, 2, 3)),
        ([1.0, 2.0, 3.0], "multiclass", (1, 2, 3)),
        ([0.5, 1.5, 2.5], "regression", ()),
        ([0.5, 1.5], "regression", ()),
        (list(range(100)), "regression", ()),
        ([1, 1000, 5], "regression", ()),
    ],
)
def test_other_objectives(labels, objective, classes):
    definition = pipeline(stream(y=pa.array((labels * 5000)[:5000])))
    assert (definition.label.objective, definition.label.classes) == (objective, classes)
    assert definition.gate.floor == (0.0 if objective == "regression" else 0.3333)


def test_an_asked_objective_wins_where_it_fits():
    ages = pa.array([1, 2, 3] * 1500 + [4] * 500)
    assert pipeline(stream(y=ages), objective="regression").label.objective == "regression"
    many = pa.array([i % 80 for i in range(5000)])
    assert len(pipeline(stream(y=many), objective="multiclass").label.classes) == 80


@pytest.mark.parametrize(
    ("labels", "objective", "message"),
    [
        (["a"] * 5000, None, "one value only"),
        ([None] * 5000, None, "every value is missing"),
        ([f"text {i}" for i in range(5000)], None, "is it the label"),
        (["a", "b"] * 2500, "regression", "regression expects numbers"),
        (["a", "b", "c", "d"] * 1250, "binary", "binary expects exactly 2"),
        ([0.5, 1.5, 2.5, 3.5] * 1250, "multiclass", "with fractions"),
        (["a", "b"] * 2500, "ranking", "expected one of"),
    ],
)
def test_labels_that_fit_nothing_are_refused(labels, objective, message):
    values = pa.array(labels, pa.string() if labels[0] is None else None)
    with pytest.raises(DefinitionError, match=message):
        infer(stream(y=values), options(objective=objective))


@pytest.mark.parametrize(
    ("unit", "middle", "said"),
    [(1.0, 0.0, ""), (1e9, 0.0, ""), (1e-6, 0.0, ""), (1.0, 1e7, "shift it")],
)
def test_a_target_that_the_trees_cannot_see_is_warned_of(unit, middle, said):
    values = middle + unit * np.random.default_rng(1).normal(size=5000)
    sentence = [s for s in sentences(infer(stream(y=pa.array(values)), options())) if "XGB" in s]
    assert bool(sentence) == bool(said) and all(said in s for s in sentence)


def test_rows_without_a_label_lower_what_is_required():
    labels = pa.array([None if i % 10 < 7 else "yes" if i % 3 else "no" for i in range(5000)])
    found = infer(stream(y=labels), options())
    assert parse(pipeline_toml(found)).label.min_labelled_share == pytest.approx(0.14, abs=0.02)
    assert any("never taken as negative" in s for s in sentences(found))


# features


def test_columns_that_teach_nothing_are_left_out_and_said():
    n = 5000
    rng = np.random.default_rng(1)
    labels = np.where(rng.random(n) < 0.3, "yes", "no")
    table = stream(
        y=pa.array(labels),
        empty=pa.nulls(n),
        constant=pa.array(["same"] * n),
        token=pa.array([f"t{i:x}" for i in rng.permutation(n)]),
        user_id=pa.array(rng.permutation(n)),
        counter=pa.array(np.arange(n) * 2),
        batch=pa.array(np.arange(n) // 100),
        prose=pa.array([f"a long note about case {i % 900} " * 4 for i in range(n)]),
        many=pa.array([f"v{i % 2500}" for i in range(n)]),
        twin=pa.array(np.where(labels == "yes", 7, 3)),
        when_else=pa.array([date(2024, 1, 1)] * n),
        nested=pa.array([{"a": 1}] * n),
        _mine=pa.array(rng.normal(size=n)),
        flag=pa.array(rng.random(n) < 0.5),
        level=pa.array(rng.integers(0, 5, n), pa.int8()),
        word=pa.array(rng.choice(["a", "b"], n)).dictionary_encode(),
    )
    found = infer(table, options(key=None))
    assert found.key == "user_id"
    assert found.features == {
        "temp_low": "number",
        "temp_high": "number",
        "visits": "number",
        "color": "category",
        "flag": "category",
        "level": "number",
        "word": "category",
    }
    expected = {
        "empty": "never has a value",
        "constant": "always has the same value",
        "token": "differs in every row, like an identifier",
        "counter": "differs in every row, like an identifier",
        "batch": "only ever rises with time",
        "prose": "long texts",
        "many": "more than 1000 categories",
        "twin": "tells the label",
        "when_else": "neither numbers nor text",
        "nested": "neither numbers nor text",
        "_mine": "Ratchet's",
    }
    assert set(found.ignored) == set(expected)
    for name, why in expected.items():
        assert why in found.ignored[name], name
        assert any(name in s and found.ignored[name] in s for s in sentences(found))
    assert set(parse(pipeline_toml(found)).source.ignore) == set(expected)


@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("text", [False, True])
def test_what_tells_the_label_by_itself_is_named_and_kept(objective, text):
    n = 5000
    rng = np.random.default_rng(3)
    states = rng.integers(0, 6, n)  # of an order; some of them mean the same label
    target = {"binary": states > 2, "multiclass": np.array([0, 0, 0, 1, 2, 2])[states]}
    names = np.array(["placed", "packed", "sent", "lost", "returned", "refused"])
    y = target[objective].astype(int) if objective in target else states + rng.normal(0, 0.1, n)
    late = pa.array(names[states]) if text else pa.array(states + rng.normal(0, 0.01, n))
    strong = y + rng.normal(0, 1.5 * np.std(y), n)  # honest: an AUC of .8 or so by itself
    found = infer(stream(n, y=pa.array(y), status=late, strong=pa.array(strong)), options())
    assert found.features["status"] == ("category" if text else "number")
    (said,) = (s for s in sentences(found) if "tells the label" in s or "tell the label" in s)
    assert "'status' (AUC " in said
    assert "strong" not in said


def test_an_honest_sample_is_not_said_to_leak():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        columns = {f"x{i}": pa.array(rng.normal(size=400)) for i in range(20)}
        y = pa.array((rng.random(400) < 0.05).astype(int))
        said = sentences(infer(stream(400, y=y, **columns), options()))
        assert not [s for s in said if "tells the label" in s or "tell the label" in s]


def test_a_column_that_is_not_to_be_learned_from_is_left_out_with_its_rules():
    found = infer(table := stream(), options(ignore=("visits", "color")))
    assert set(found.features) == {"temp_low", "temp_high"}
    assert found.ignored == {"visits": "as you asked", "color": "as you asked"}
    assert any("'visits' (as you asked)" in s for s in sentences(found))
    assert set(parse(pipeline_toml(found)).source.ignore) == {"visits", "color"}
    rules = [e["kwargs"] for e in suite_json(found, table)["expectations"]]
    assert not [r for r in rules if "visits" in str(r) or "color" in str(r)]


@pytest.mark.parametrize(("name", "said"), [("gone", "--ignore"), ("y", "it is the label")])
def test_what_cannot_be_ignored_is_refused(name, said):
    with pytest.raises(DefinitionError, match=said):
        infer(stream(), options(ignore=(name,)))


def test_a_new_pipeline_looks_for_leaks():
    assert parse(pipeline_toml(infer(stream(), options()))).gate.shortcuts


def test_a_regression_target_under_another_unit_is_a_leak():
    target = np.random.default_rng(1).normal(20, 5, 5000)
    table = stream(y=pa.array(target), fahrenheit=pa.array(target * 1.8 + 32))
    assert "fahrenheit" in infer(table, options()).ignored
    assert "temp_low" in infer(table, options()).features


def test_nothing_to_learn_from_is_refused():
    table = stream().select(["at", "y"])
    with pytest.raises(DefinitionError, match="no column to learn from"):
        infer(table, options())


def test_a_key_is_inferred_asked_for_or_left_to_the_row_number():
    ids = pa.array([f"k{i}" for i in range(5000)])
    assert pipeline(stream(order_id=ids)).source.key == ("order_id",)
    assert pipeline(stream()).source.key == ()
    assert any("row number" in s for s in sentences(infer(stream(), options())))
    twice = pa.array([f"k{i // 2}" for i in range(5000)])
    assert pipeline(stream(order_id=twice)).source.key == ()
    asked = infer(stream(ref=twice), options(key="ref"))
    assert asked.key == "ref" and "ref" not in asked.features
    assert any("2500 rows repeat one" in s for s in sentences(asked))
    assert any("as you asked." in s for s in sentences(infer(stream(ref=ids), options(key="ref"))))


def test_a_column_whose_name_stands_twice_is_left_out():
    table = stream()
    doubled = pa.Table.from_arrays(
        [*table.columns, table["visits"]], names=[*table.column_names, "visits"]
    )
    found = infer(doubled, options())
    assert "visits" in found.ignored and "visits" not in found.features


def test_groups_to_protect_are_common_and_few():
    table = stream(
        rare=pa.array(["a"] * 4950 + ["b"] * 50),
        half=pa.array(["u", "v"] * 2500),
        wide=pa.array([f"w{i % 40}" for i in range(5000)]),
    )
    found = infer(table, options())
    assert found.slices == ("half", "color")
    assert parse(pipeline_toml(found)).gate.slices == ("half", "color")


# document


@pytest.mark.parametrize(
    ("path", "is_file", "landing", "glob"),
    [
        ("data/toy.csv", None, "data", "toy.csv"),
        ("toy.csv", None, ".", "toy.csv"),
        ("data/in", None, "data/in", "**"),
        ("data/v1.2", False, "data/v1.2", "**"),
        ("data/noending", True, "data", "noending"),
    ],
)
def test_the_landing_zone_is_where_the_data_are(path, is_file, landing, glob):
    definition = pipeline(stream(), path=Path(path), is_file=is_file)
    assert (definition.source.landing, definition.source.features) == (landing, glob)


@pytest.mark.parametrize("n", [100, 300, 2000, 30_000])
def test_thresholds_fit_the_size_of_a_window(n):
    found = infer(stream(n), options())
    definition = parse(pipeline_toml(found))
    held = found.rows_per_window * definition.train.holdout_windows
    assert definition.validate_.min_rows <= max(1, found.rows_per_window // 2)
    assert definition.gate.min_rows <= max(30, held)
    assert definition.recipes == ()
    assert definition.mixture == Mixture()
    assert definition.train.min_rows <= max(50, found.rows_per_window // 2)


def test_the_file_is_readable_and_odd_names_survive():
    table = stream(**{'sp ace "q"': pa.array(np.random.default_rng(0).normal(size=5000))})
    text = pipeline_toml(infer(table, options(name="odd-1")))
    assert text.startswith("# Written by `ratchet init` from 5000 rows.\n")
    assert 'classes = ["no", "yes"] # the second one is positive' in text
    assert 'sp ace "q"' in parse(text).features


@pytest.mark.parametrize("keyed", [False, True])
def test_the_defence_is_switched_on_by_taking_the_comment_away(keyed):
    table = stream(**({"id": pa.array([f"r{i}" for i in range(5000)])} if keyed else {}))
    text = pipeline_toml(infer(table, options(key="id" if keyed else None)))
    off, sections = text.split("# [trusted]\n")
    assert parse(text).trusted is None
    assert parse(text).record is None
    assert ("need source.key" in text) is not keyed
    lines = f"# [trusted]\n{sections}".splitlines()
    on = off + "\n".join(line.removeprefix("# ") for line in lines)
    if not keyed:
        with pytest.raises(DefinitionError, match=r"source\.key: trusted rows"):
            parse(on)
        return
    definition = parse(on)
    assert definition.trusted.objects == "trusted/**"
    assert definition.record.uri == "truth.parquet"
    assert definition.shield == parse(text).shield  # what is shown are the defaults


@given(st.text(max_size=80))
def test_any_name_becomes_a_name(text):
    import re

    assert re.fullmatch(NAME, name_from(text))
    assert name_from(name_from(text)) == name_from(text)


# suite


def run_windows(found, table, rules, by=None):
    """Verdict and rejected rows of each window of a table, as the loop would judge it."""
    definition = parse(pipeline_toml(found))
    columns = {"_key": pa.array([f"k{i}" for i in range(table.num_rows)])}
    kinds = {"number": pa.float64(), "category": pa.string()}
    for name, kind in found.features.items():
        columns[name] = table[name].cast(kinds[kind])
    rows = pa.table(columns)
    size = by or table.num_rows
    for start in range(0, table.num_rows, size):
        part = rows.slice(start, size)
        results = GreatExpectations().run(rules, part.to_pandas())
        judged = judge_rows(results, part.num_rows, definition)
        evidence = [*judged.evidence, *check_columns(part, definition)]
        yield verdict(evidence).lets_through, int(judged.rejected.sum()), evidence


def test_the_sample_itself_passes_window_by_window():
    table = stream(3000)
    found = infer(table, options())
    rules = suite_json(found, table)
    assert all(e["meta"]["reason"] and e["meta"]["level"] for e in rules["expectations"])
    assert all(ok and not bad for ok, bad, _ in run_windows(found, table, rules, by=500))


def test_a_small_window_of_the_sample_keeps_the_bound_on_missing_values():
    """Its last 8 rows are a window, and 6 of them lack what elsewhere a tenth of the rows lack."""
    table = stream(3010, days=140.4)
    gone = np.arange(3010) % 10 == 0
    gone[-8:] = [True] * 6 + [False] * 2
    values = np.random.default_rng(1).normal(size=3010)
    table = table.append_column("partly", pa.array(values, mask=gone))
    found = infer(table, options(window="7d"))
    rules = [e for e in suite_json(found, table)["expectations"] if "not_be_null" in e["type"]]
    (rule,) = [e for e in rules if e["kwargs"]["column"] == "partly"]
    assert found.time.windows == 21 and 0.2 <= rule["kwargs"]["mostly"] <= 0.25
    suite = {"name": "toy", "expectations": [rule]}
    ((ok, _, evidence),) = run_windows(found, table.slice(3010 - 8), suite)
    assert ok, [e.arithmetic for e in evidence]


def drifting(n: int = 6000, **columns) -> pa.Table:
    """A stream whose economy, months and missing cells move, as those of real streams do."""
    rng = np.random.default_rng(5)
    share = np.arange(n) / n
    month = [f"m{int(s * 12):02d}" for s in share]
    partly = [None if rng.random() < 0.1 + 0.2 * s else rng.normal() for s in share]
    return stream(
        n,
        rate=pa.array(np.round(4 - 6 * np.floor(share * 10) / 10, 1)),
        month=pa.array(month),
        partly=pa.array(partly),
        **columns,
    )


def test_drift_that_goes_on_after_the_sample_does_not_block():
    whole = drifting()
    sample, rest = whole.slice(0, 3000), whole.slice(3000)
    found = infer(sample, options())
    assert found.new_values == ("month",)
    assert parse(pipeline_toml(found)).validate_.max_unseen_share == 1.0
    assert any("whole windows bring values never seen before" in s for s in sentences(found))
    outcomes = list(run_windows(found, rest, suite_json(found, sample), by=500))
    stopped = [
        e.arithmetic for _, _, found in outcomes for e in found if not e.verdict.lets_through
    ]
    assert stopped == []
    assert sum(bad for _, bad, _ in outcomes) < 10


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("temp_low", lambda v: v + 273.15),
        ("temp_high", lambda v: -v),
        ("visits", lambda v: v - 500),
        ("rate", lambda v: v * 0 + 99_999),
        ("temp_high", lambda v: v * 0 + 30),  # below temp_low
    ],
    ids=["kelvin", "sign", "negative count", "sentinel", "order"],
)
def test_what_cannot_be_drift_blocks(column, change):
    table = drifting()
    found = infer(table, options())
    values = change(table[column].to_numpy().astype(float))
    damaged = table.set_column(table.column_names.index(column), column, pa.array(values))
    ((ok, bad, evidence),) = run_windows(
        found, damaged.slice(5000), suite_json(found, table), by=1000
    )
    assert not ok and bad > 50
    assert any(column in e.arithmetic + e.check for e in evidence if not e.verdict.lets_through)


def test_a_column_that_is_empty_in_whole_windows_is_warned_of():
    late = pa.array(np.where(np.arange(5000) < 1200, np.nan, 1.0) * np.arange(5000) % 7)
    said = [s for s in sentences(infer(stream(late=late), options())) if "has no value in" in s]
    assert len(said) == 1 and said[0].startswith("'late' has no value in 4 of 20")


def test_windows_of_the_sample_are_those_of_the_loop():
    late = START + timedelta(hours=20)  # the first row; windows begin at midnight
    at = pa.array([late + timedelta(minutes=40 * i) for i in range(5000)])
    week = np.array(
        [int((late + timedelta(minutes=40 * i) - START).days) // 7 for i in range(5000)]
    )
    holed = pa.array(np.where(week == 3, np.nan, np.arange(5000) % 7))
    found = infer(stream(at=at, holed=holed), options(time="at", window="7d"))
    assert any("'holed' has no value in 1 of 20 windows" in s for s in sentences(found))


def test_a_burst_of_missing_values_blocks():
    table = drifting()
    found = infer(table, options())
    rules = suite_json(found, table)
    for name, kind in (
        ("temp_low", pa.float64()),
        ("color", pa.string()),
        ("partly", pa.float64()),
    ):
        gone = pa.array([None] * 700 + table[name].to_pylist()[:300], kind)
        damaged = table.slice(0, 1000).set_column(table.column_names.index(name), name, gone)
        ((ok, _, evidence),) = run_windows(found, damaged, rules)
        blocked = [e.check for e in evidence if not e.verdict.lets_through]
        assert not ok and any(f"not_be_null({name})" in check for check in blocked)


def test_rules_by_kind():
    table = drifting(
        sparse=pa.array([1.0 if i % 50 == 0 else None for i in range(6000)]),
        wide=pa.array([f"w{i % 300}" for i in range(6000)]),
    )
    found = infer(table, options())
    rules = {
        (e["type"], *[e["kwargs"].get(k) for k in ("column", "column_A", "column_B")]): e
        for e in suite_json(found, table)["expectations"]
    }
    named = {(kind.removeprefix("expect_column_"), name) for kind, name, _, _ in rules}
    assert ("values_to_be_in_set", "color") in named
    assert ("values_to_be_in_set", "month") not in named  # new ones come naturally
    assert ("values_to_be_in_set", "wide") not in named  # too many to list
    assert ("values_to_not_be_null", "sparse") not in named  # nearly always missing
    pair = "expect_column_pair_values_a_to_be_greater_than_b"
    assert (pair, None, "temp_high", "temp_low") in rules
    assert sum(key[0] == pair for key in rules) == 1
    visits = rules["expect_column_values_to_be_between", "visits", None, None]
    assert visits["kwargs"]["min_value"] == 0 and "never negative" in visits["meta"]["reason"]
    rate = rules["expect_column_values_to_be_between", "rate", None, None]
    assert "only its magnitude" in rate["meta"]["reason"]


@given(st.lists(st.floats(-1e30, 1e30, allow_nan=False) | st.none(), min_size=120, max_size=200))
@settings(max_examples=30, deadline=None)
def test_the_range_rule_always_holds_on_the_sample(values):
    n = len(values)
    table = stream(n, value=pa.array(values, pa.float64()))
    found = infer(table, options())
    for entry in suite_json(found, table)["expectations"]:
        if entry["type"].endswith("to_be_between") and entry["kwargs"]["column"] == "value":
            low, high = entry["kwargs"]["min_value"], entry["kwargs"]["max_value"]
            assert all(low <= v <= high for v in values if v is not None)
            assert low < high
