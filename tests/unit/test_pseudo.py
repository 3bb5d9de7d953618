"""Pseudo-labels: which rows may be taught, by whom, how many, and when nothing is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet import self_train
from ratchet.contracts.columns import EVENT, KEY, KNOWN
from ratchet.contracts.definition import parse
from ratchet.contracts.lineage import MemberLineage
from ratchet.contracts.recipes import Member
from ratchet.contracts.revocation import Reach, Sent, tainted_versions
from ratchet.errors import DefinitionError, NoCandidate
from ratchet.register.describe import taught_of
from ratchet.self_train.earned import FEWEST, gain, weigh_earned
from ratchet.self_train.mixture import weigh
from ratchet.self_train.pseudo import MOVED, collapsed, room, soft_labels
from tasks.taught import teachable, untaught
from tests.learning import by_name, definition, labels_of, prepare, stream
from tests.streams import MIXED
from tests.unit.test_lineage import lineages

PUPIL = '[[mixture.members]]\nname = "pupil"\nteacher = "anchor"\n'
AS_OF, DELAY = 1000, 300


def mixed(extra: str = "", text: str = MIXED) -> Any:
    return parse(text.replace("[drift]", f"{extra}\n[drift]"))


def taught(**changes: Any) -> tuple[self_train.Taught, self_train.TrainingSet, self_train.Trained]:
    pipeline = definition(delay=DELAY)
    rows, y = stream()
    labels = labels_of(rows, changes.pop("y", y), DELAY)
    _, cut, history = prepare(pipeline, rows, labels, AS_OF)
    plain = self_train.training_set(history, pipeline, by_name(pipeline, "all"))
    moment = self_train.Moment(Member(name="old"), AS_OF, None, cut.train_before)
    model = self_train.train(plain, pipeline, by_name(pipeline, "all"))
    teacher = self_train.Trained(moment, model, plain.rows, plain.data_digest, plain.categories)
    waiting = changes.pop("waiting", None)
    if waiting is None:
        waiting = self_train.waiting(pipeline, rows, labels, AS_OF)
    own = self_train.training_set(history, pipeline, by_name(pipeline, changes.pop("own", "all")))
    return self_train.teach(own, waiting, teacher, pipeline), own, teacher


# --- what a pipeline may declare ------------------------------------------------------------------


def test_a_mixture_without_a_teacher_is_digested_and_dumped_as_it_always_was() -> None:
    plain = mixed()
    assert plain.digest == "601e136da09a4a036e0935d8578e8de9460f6cf466656d22ca706eddf0047c40"
    assert "teacher" not in plain.mixture.members[0].model_dump(mode="json")
    with_pupil = mixed(PUPIL)
    assert with_pupil.mixture.members[-1].model_dump(mode="json")["teacher"] == "anchor"
    assert with_pupil.digest != plain.digest


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (PUPIL.replace('"anchor"', '"nobody"'), "'nobody'; expected a member that has no teacher"),
        (PUPIL.replace('"anchor"', '"pupil"'), "'pupil'; expected a member that has no teacher"),
        (
            PUPIL + PUPIL.replace("pupil", "next").replace("anchor", "pupil"),
            "has no teacher itself",
        ),
        (PUPIL + "every = 2\n", "expected every = 1"),
    ],
)
def test_a_teacher_is_another_member_that_has_none_itself(extra: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        mixed(extra)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("delay = 1000", "delay = 0", "label.delay of 0"),
        ("classes = [0, 1]", "classes = [0, 1, 2]", "soft labels are for binary labels"),
        ("classes = [0, 1]", "", "soft labels are for binary labels"),
    ],
)
def test_soft_labels_are_for_binary_labels_that_come_late(old: str, new: str, said: str) -> None:
    kind = {"": "regression", "classes = [0, 1, 2]": "multiclass"}.get(new, "binary")
    text = MIXED.replace(old, new).replace('objective = "binary"', f'objective = "{kind}"')
    assert parse(text).mixture is not None
    with pytest.raises(DefinitionError, match=said):
        mixed(PUPIL, text)


# --- which rows, how many, with what labels -------------------------------------------------------


def test_only_rows_that_were_known_and_whose_label_is_neither_mature_nor_known_wait() -> None:
    times = {
        "ripe": (90, 90),
        "edge": (100, 100),
        "told": (150, 150),
        "late": (150, 200),
        "new": (199, 199),
        "ahead": (200, 150),
    }
    rows = pa.table(
        {
            KEY: list(times),
            EVENT: [e for e, _ in times.values()],
            KNOWN: [k for _, k in times.values()],
        }
    )
    labels = pa.table({KEY: ["told", "new"], KNOWN: [199, 200]})
    found = self_train.waiting(definition(delay=100), rows, labels, as_of=200)
    assert found[KEY].to_pylist() == ["edge", "new"]


def test_a_pupil_learns_true_labels_first_and_the_teachers_probabilities_after_them() -> None:
    found, plain, teacher = taught()
    training = found.training
    assert found.note == ""
    assert found.rows == training.rows - plain.rows == int((training.origin == 1).sum()) > 400
    assert (training.labels[: plain.rows] == plain.labels).all()
    assert (training.matrix[: plain.rows].tobytes()) == plain.matrix.tobytes()
    soft = training.labels[plain.rows :]
    assert ((soft > 0) & (soft < 1)).all()
    rows, _ = stream()
    late = rows.filter(pa.array(rows[EVENT].to_numpy() >= AS_OF - DELAY))
    expected = soft_labels(teacher, late, definition(delay=DELAY)).astype(np.float32)
    assert (soft == expected).all()
    assert training.reference.equals(plain.reference)
    assert training.true.sum() == plain.rows
    assert training.data_digest != plain.data_digest
    assert training.data_digest == taught()[0].training.data_digest


def test_the_digest_tells_a_true_label_from_a_teachers() -> None:
    _, y = stream()
    turned = y.copy()
    turned[0] = 1 - turned[0]  # the teacher's other label changes what it says as well
    assert taught()[0].training.data_digest != taught(y=turned)[0].training.data_digest


def test_at_least_half_of_what_is_learned_is_true() -> None:
    found, plain, _ = taught(own="recent")  # two windows, about 400 rows, where 600 wait
    assert found.rows == plain.rows < 600
    late = found.training.matrix[plain.rows :]
    assert len(late) == plain.rows
    decayed, own, _ = taught(own="decayed")
    assert decayed.rows <= own.weights.sum() < own.rows


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), st.integers(0, 60))
def test_the_weight_of_what_is_taught_never_exceeds_that_of_true_labels(
    weights: list[float], rows: int
) -> None:
    found = room(np.array(weights, dtype=np.float32), rows)
    assert 0 <= found <= rows
    assert found <= np.sum(weights) + 1e-9


def test_soft_labels_do_not_stand_in_for_a_class_or_for_rows_that_are_missing() -> None:
    found, plain, _ = taught()
    pipeline = definition(delay=DELAY, train=f"holdout_windows = {1}")
    strict = pipeline.model_copy(
        update={"train": pipeline.train.model_copy(update={"min_rows": plain.rows + 1})}
    )
    with pytest.raises(NoCandidate, match=f"{plain.rows} training rows < train.min_rows"):
        self_train.train(found.training, strict, by_name(pipeline, "all"))


def test_no_row_that_waits_is_a_reason_not_an_error() -> None:
    rows, _ = stream()
    found, plain, _ = taught(waiting=rows.slice(0, 0))
    assert (found.rows, found.note, found.training) == (0, "no row waits for its label", plain)


# --- the collapse stop ----------------------------------------------------------------------------


def test_the_collapse_stop_names_a_rate_that_moved_and_labels_too_sure_or_all_the_same() -> None:
    random = np.random.default_rng(0)
    fitted = random.beta(4, 4, 500)
    labels = (random.random(500) < fitted).astype(float)
    assert collapsed(fitted[:200], fitted, labels) == ""
    assert "from the true rate" in collapsed(fitted * 0.3, fitted, labels)
    assert "standard deviation" in collapsed(np.round(fitted), fitted, labels)
    assert "standard deviation" in collapsed(np.full(200, labels.mean()), fitted, labels)
    assert "standard deviation" in collapsed(np.full(9, 0.5), np.full(9, 0.5), labels)


@given(st.floats(0.05, 0.95), st.floats(-0.9, 0.9))
def test_a_mean_further_than_the_limit_always_stops(rate: float, shift: float) -> None:
    labels = (np.arange(200) < rate * 200).astype(float)
    soft = np.clip(labels.mean() + shift + np.tile([-0.01, 0.01], 100), 0, 1)
    if abs(soft.mean() - labels.mean()) > MOVED:
        assert collapsed(soft, np.tile([-0.01, 0.01], 100), labels)


def test_a_teacher_that_has_collapsed_teaches_nothing() -> None:
    rows, _ = stream()
    pipeline = definition(delay=DELAY)
    late = rows.filter(pa.array(rows[EVENT].to_numpy() >= AS_OF - DELAY))
    surely = late.set_column(late.column_names.index("x"), "x", pa.array([9.0] * late.num_rows))
    found, plain, teacher = taught(waiting=surely)
    assert soft_labels(teacher, surely, pipeline).mean() > 0.7
    assert found.rows == 0
    assert found.training is plain
    assert "from the true rate" in found.note


# --- a weight that has to be earned ---------------------------------------------------------------

TEACHERS = {"old": None, "new": None, "pupil": "old"}


def windows(n: int, by: float, noise: float = 0.001) -> list[dict[str, float]]:
    random = np.random.default_rng(n)
    return [
        {"old": 0.5, "new": 0.51, "pupil": 0.5 - by + noise * random.normal()} for _ in range(n)
    ]


def test_a_weight_is_earned_by_losses_and_lost_again() -> None:
    good, bad = windows(FEWEST, 0.01), windows(14, -0.01)
    assert weigh_earned(TEACHERS, good[:-1]).weights["pupil"] == 0
    found = weigh_earned(TEACHERS, good)
    assert found.weights == weigh(list(TEACHERS), good).weights
    assert "better than its teacher by at least 0.00" in found.because
    lost = weigh_earned(TEACHERS, good + bad)
    assert lost.weights["pupil"] == 0
    assert "has not earned a weight" in lost.because
    others = [{n: v for n, v in w.items() if n != "pupil"} for w in good + bad]
    assert lost.weights == {**weigh(["old", "new"], others).weights, "pupil": 0.0}


def test_luck_in_a_few_windows_earns_nothing() -> None:
    assert gain("pupil", "old", windows(12, 0.001, noise=0.05)) < 0
    assert gain("pupil", "old", windows(12, 0.05, noise=0.01)) > 0


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.floats(0, 9)), max_size=20))
def test_without_a_pupil_weights_are_those_of_the_plain_mixture(
    losses: list[dict[str, float]],
) -> None:
    assert weigh_earned({"a": None, "b": None}, losses) == weigh(["a", "b"], losses)


@given(
    st.lists(st.fixed_dictionaries({n: st.floats(0.01, 9) for n in TEACHERS}), max_size=20),
)
def test_weights_sum_to_one_and_the_others_never_lose_theirs(
    losses: list[dict[str, float]],
) -> None:
    found = weigh_earned(TEACHERS, losses).weights
    assert sum(found.values()) == pytest.approx(1)
    assert found["old"] > 0
    assert found["new"] > 0


# --- what must never be taught, or never judged on ------------------------------------------------


def test_the_champion_is_not_judged_on_rows_that_taught_a_member_that_counts() -> None:
    space: Any = SimpleNamespace(seal_secret=b"s" * 32)
    rows = pa.table({KEY: [f"k{i}" for i in range(1000)], EVENT: list(range(1000))})

    def bundle(weight: float, pseudo: int) -> Any:
        member = MemberLineage("p", weight, {}, 900, None, 300, 9, "", "", pseudo, 700)
        return SimpleNamespace(manifest=SimpleNamespace(lineage=SimpleNamespace(members=[member])))

    shown = set(teachable(space, rows)[KEY].to_pylist())
    assert 400 < len(shown) < 600
    kept = untaught(space, bundle(0.2, 5), rows)
    expected = [not (700 <= i < 900 and f"k{i}" in shown) for i in range(1000)]
    assert kept.tolist() == expected
    assert untaught(space, bundle(0.0, 5), rows).all()
    assert untaught(space, bundle(0.2, 0), rows).all()
    assert untaught(space, None, rows).all()


@given(lineages, st.integers(0, 99))
def test_a_version_descends_from_the_rows_that_it_was_only_taught(lineage: Any, at: int) -> None:
    member = MemberLineage("p", 0.0, {}, 100, None, 50, 9, "", "", 5, 50)
    line = replace(lineage, as_of=100, train_from=0, train_before=40, members=(member,))
    sent = Sent(
        *(
            np.array([v], dtype=object) if isinstance(v, str) else np.array([v])
            for v in ("bad", at, at, "f")
        )
    )
    expected = {3} if at < 40 or at >= 50 else set()
    assert tainted_versions({3: line}, [sent], [Reach("bad")]) == expected
    plain = replace(line, members=())
    assert tainted_versions({3: plain}, [sent], [Reach("bad")]) == ({3} if at < 40 else set())


def test_what_was_taught_is_told_and_kept_in_the_lineage() -> None:
    recipe = {"name": "p", "teacher": "old"}
    some = MemberLineage("p", 0.5, recipe, 9, None, 5, 1200, "d", "m", 1100, 5)
    none = MemberLineage("p", 0.5, recipe, 9, None, 5, 1200, "d", "m", pseudo_note="collapsed")
    plain = MemberLineage("q", 0.5, {"name": "q"}, 9, None, 5, 1200, "d", "m")
    assert taught_of(some) == ", 1,100 rows more labelled by old"
    assert taught_of(none) == ", taught nothing: collapsed"
    assert taught_of(plain) == ""
    later = {"pseudo_rows", "pseudo_from", "pseudo_note"}
    assert not later & plain.as_json().keys()
    assert later & some.as_json().keys() == {"pseudo_rows", "pseudo_from"}
    assert later & none.as_json().keys() == {"pseudo_note"}
    assert [MemberLineage(**m.as_json()) for m in (some, none, plain)] == [some, none, plain]
