"""The comparison with a trusted control: honest batches pass, tampered ones do not."""

import numpy as np
import pyarrow as pa
import pytest

from ratchet.contracts.columns import EVENT, KEY, SOURCE
from ratchet.contracts.defence import Record, Shield, Trusted
from ratchet.contracts.definition import parse
from ratchet.contracts.evidence import Verdict, worst
from ratchet.validate import Sample, compare, look_back, match
from ratchet.validate.cells import scan
from ratchet.validate.control import SHARES
from ratchet.validate.match import Match
from ratchet.validate.pooled import codes, pooled, ranks
from ratchet.validate.split_tests import (
    auc_difference,
    classifier_test,
    kolmogorov_smirnov,
    mean_difference,
)

TEXT = """
name = "s"
[source]
landing = "landing"
key = ["id"]
[time]
column = "t"
kind = "integer"
window = 1000
[label]
column = "y"
{label}
[features]
x = "number"
z = "number"
c = "category"
d = "category"
[validate]
suite = "none.json"
[train]
threads = 1
[[recipes]]
name = "only"
"""
LABELS = {
    "binary": "classes = [0, 1]",
    "multiclass": 'objective = "multiclass"\nclasses = [0, 1, 2]',
    "regression": 'objective = "regression"',
}


def definition(objective="binary", keyed=True, alpha=0.001, record=False):
    made = parse(TEXT.format(label=LABELS[objective]))
    update = {"trusted": Trusted(objects="t/**", keyed=keyed), "shield": Shield(alpha=alpha)}
    if record:
        update["record"] = Record(uri="truth.parquet")
    return made.model_copy(update=update)


def world(seed, rows=3000, objective="binary"):
    """Rows, their labels and a champion's scores; storms make neighbours alike."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=rows), rng.normal(size=rows).round(1)
    storm = np.repeat(rng.normal(size=rows // 100), 100)[:rows]
    c, d = rng.choice(list("abcdef"), rows), rng.choice(list("uvw"), rows)
    signal = x + storm
    p = 1 / (1 + np.exp(-signal))
    if objective == "binary":
        labels, scores = (rng.random(rows) < p).astype(float), 1 / (1 + np.exp(-x))
    elif objective == "multiclass":
        labels = np.digitize(signal + rng.normal(size=rows), [-0.7, 0.7]).astype(float)
        scores = np.tile([0.35, 0.3, 0.35], (rows, 1))
    else:
        labels, scores = signal + rng.normal(size=rows), x
    table = pa.table(
        {
            KEY: [f"k{i}" for i in range(rows)],
            EVENT: np.arange(rows),
            SOURCE: ["s"] * rows,
            "x": x,
            "z": z,
            "c": c,
            "d": d,
        }
    )
    return Sample(table, labels, scores)


def take(sample, chosen):
    scores = None if sample.scores is None else sample.scores[chosen]
    return Sample(sample.rows.take(pa.array(chosen)), sample.labels[chosen], scores)


def drawn(sample, seed, rows=500):
    rng = np.random.default_rng([seed, 9])
    return take(sample, np.sort(rng.choice(sample.rows.num_rows, rows, replace=False)))


def changed(sample, **columns):
    rows = sample.rows
    for name, values in columns.items():
        kind = rows.schema.field(name).type
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values, kind))
    return Sample(rows, sample.labels, sample.scores)


def relabelled(sample, labels):
    return Sample(sample.rows, labels, sample.scores)


def verdict(batch, control, made, **options):
    return worst(e.verdict for e in compare(batch, control, made, seed=1, **options).evidence)


def test_the_shares_of_alpha_add_up():
    assert sum(SHARES.values()) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
def test_honest_batches_pass_at_the_promised_rate(objective, keyed):
    """At alpha 0.05, 25 batches: at most 1.25 alarms expected; 6 would be a chance of 0.1 %."""
    made = definition(objective, keyed, alpha=0.05)
    alarms = 0
    for seed in range(25):
        batch = world(seed, 1500, objective)
        alarms += verdict(batch, drawn(batch, seed, 300), made) is Verdict.BLOCK
    assert alarms <= 5


def test_each_test_of_a_random_split_has_uniform_p_values():
    rng = np.random.default_rng(8)
    small = {"mean": 0, "auc": 0, "ks": 0}
    for _ in range(400):
        y, s = (rng.random(800) < 0.3).astype(float), rng.random(800)
        control = rng.permutation(800) < 150
        small["mean"] += mean_difference(s, control)[0] < 0.1
        small["auc"] += auc_difference(y, s, control)[0] < 0.1
        small["ks"] += kolmogorov_smirnov(s, control) < 0.1
    assert all(count <= 62 for count in small.values()), small  # 40 expected, 3.7 deviations


def draws(rows: int, drawn_rows: int, count: int, rng):
    for _ in range(count):
        control = np.zeros(rows, dtype=bool)
        control[rng.choice(rows, drawn_rows, replace=False)] = True
        yield control


@pytest.mark.parametrize("share", [0.04, 0.96])
def test_the_tail_of_a_mean_holds_where_values_are_rare(share):
    """20 of 20,000 are expected below 0.001; the normal limit alone gives about 30."""
    rng = np.random.default_rng(11)
    y = (rng.random(2000) < share).astype(float)
    values = y * rng.exponential(1, 2000)
    for column in (y, values):
        found = [mean_difference(column, c)[0] for c in draws(2000, 300, 20_000, rng)]
        assert 6 <= sum(p < 1e-3 for p in found) <= 34


def test_the_tail_of_an_auc_holds_where_the_control_is_small():
    """4 of 4,000 are expected below 0.001; with the control's own error it was about 10."""
    rng = np.random.default_rng(12)
    y = (rng.random(1000) < 0.1).astype(float)
    scores = rng.normal(size=1000) + 2 * y
    found = [auc_difference(y, scores, c)[0] for c in draws(1000, 150, 4000, rng)]
    assert sum(p < 1e-3 for p in found) <= 11


def test_an_auc_that_differs_is_still_found():
    rng = np.random.default_rng(13)
    y = (rng.random(2000) < 0.3).astype(float)
    control = rng.permutation(2000) < 300
    scores = np.where(control, 2 * y, 0.6 * y) + rng.normal(size=2000)
    p, gap = auc_difference(y, scores, control)
    assert p < 1e-6
    assert gap < -0.1


def test_a_scan_of_an_honest_pool_is_seldom_significant():
    made = definition()
    found = []
    for seed in range(60):
        batch = world(seed, 1500)
        found.append(scan(pooled(batch, drawn(batch, seed, 300), made, keyed=True)))
    assert sum(f.singles.p < 0.1 for f in found) <= 14
    assert sum(f.pairs.p < 0.1 for f in found) <= 14


@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
def test_flipped_labels_are_blocked_by_key(objective):
    batch = world(1, objective=objective)
    labels = batch.labels.copy()
    mine = np.random.default_rng(2).random(len(labels)) < 0.1
    labels[mine] = 1 - labels[mine] if objective == "binary" else (labels[mine] + 1) % 3
    found = compare(relabelled(batch, labels), drawn(batch, 1), definition(objective), seed=1)
    blocked = [e.check for e in found.evidence if e.verdict is Verdict.BLOCK]
    assert "control.match" in blocked
    assert found.columns == {"_label": int(found.differs.sum())}
    assert len(found.checked) == 500


def test_a_unit_change_is_named():
    batch = world(3)
    wrong = changed(batch, x=batch.rows["x"].to_numpy() * 1.6)
    found = compare(wrong, drawn(batch, 3), definition(), seed=1)
    text = next(e.arithmetic for e in found.evidence if e.check == "control.match")
    assert "(500 in x)" in text
    assert verdict(wrong, drawn(batch, 3), definition(keyed=False)) is Verdict.BLOCK


def forged(batch, count, label=0.0, **values):
    extra = take(batch, np.arange(count))
    extra = changed(extra, **{KEY: [f"forged{i}" for i in range(count)]})
    extra = changed(extra, **{name: [value] * count for name, value in values.items()})
    return Sample(
        pa.concat_tables([batch.rows, extra.rows]).combine_chunks(),
        np.concatenate([batch.labels, np.full(count, label)]),
        None if batch.scores is None else np.concatenate([batch.scores, extra.scores]),
    )


@pytest.mark.parametrize("scored", [True, False])
def test_a_dense_cell_of_forged_rows_is_blocked_and_pointed_at(scored):
    batch = world(4)
    if not scored:
        batch = Sample(batch.rows, batch.labels, None)
    poisoned = forged(batch, 120, z=7.7, c="a")
    found = compare(poisoned, drawn(batch, 4), definition(), seed=1, history=world(5))
    blocked = {e.check: e.arithmetic for e in found.evidence if e.verdict is Verdict.BLOCK}
    assert "z = 7.7" in blocked["control.values"]
    assert found.suspicious[-120:].all()
    assert found.suspicious.sum() <= 125


def test_a_smaller_cell_is_at_least_nominated():
    batch = world(6)
    poisoned = forged(batch, 45, z=7.7, c="a")
    found = compare(poisoned, drawn(batch, 6), definition(), seed=1, history=world(5))
    assert found.nominated
    assert found.suspicious[-45:].all()


def test_rows_that_were_held_back_are_missed():
    batch = world(7)
    wrong = np.abs(batch.labels - batch.scores) > 0.6
    kept = take(batch, np.flatnonzero(~wrong))
    found = compare(kept, drawn(batch, 7), definition(), seed=1)
    blocked = {e.check for e in found.evidence if e.verdict is Verdict.BLOCK}
    assert "control.absent" in blocked
    assert verdict(kept, drawn(batch, 7), definition(keyed=False)) is Verdict.BLOCK


def test_labels_that_are_missing_for_a_reason_are_noticed():
    batch = world(8)
    labels = np.where((batch.labels == 1) & (np.arange(3000) % 2 == 0), np.nan, batch.labels)
    found = compare(relabelled(batch, labels), drawn(batch, 8), definition(), seed=1)
    blocked = {e.check for e in found.evidence if e.verdict is Verdict.BLOCK}
    assert "control.unlabelled" in blocked
    half = np.where(np.arange(3000) % 2 == 0, np.nan, batch.labels)
    assert verdict(relabelled(batch, half), drawn(batch, 8), definition()) is Verdict.PASS


def test_rows_under_new_keys_count_once_too_often():
    batch = world(9)
    again = take(batch, np.arange(1500))
    again = changed(again, **{KEY: [f"again{i}" for i in range(1500)]})
    both = Sample(
        pa.concat_tables([batch.rows, again.rows]).combine_chunks(),
        np.concatenate([batch.labels, again.labels]),
        np.concatenate([batch.scores, again.scores]),
    )
    found = compare(both, drawn(batch, 9), definition(), seed=1)
    text = {e.check: e.arithmetic for e in found.evidence if e.verdict is Verdict.BLOCK}
    assert "identical rows" in text["control.wholes"]


def test_no_control_never_passes():
    batch = world(10, 500)
    made = definition()
    assert verdict(batch, None, made) is Verdict.INCONCLUSIVE
    assert verdict(batch, drawn(batch, 1, 50), made) is Verdict.INCONCLUSIVE
    empty = take(batch, np.array([], dtype=np.int64))
    assert verdict(empty, drawn(batch, 1, 200), made) is Verdict.BLOCK


def test_a_control_whose_keys_nobody_has_is_a_loss_not_a_pass():
    batch = world(11)
    control = drawn(batch, 1)
    control = changed(control, **{KEY: [f"other{i}" for i in range(500)]})
    assert verdict(batch, control, definition()) is Verdict.BLOCK


def test_without_a_trusted_source_history_may_only_nominate():
    made = parse(TEXT.format(label=LABELS["binary"]))
    batch, before = world(12), world(13)
    shifted = changed(batch, x=batch.rows["x"].to_numpy() + 3)
    found = compare(shifted, None, made, history=before, seed=1)
    assert [e.verdict for e in found.evidence] == [Verdict.WARN]
    assert "degraded" in found.evidence[0].arithmetic
    assert found.nominated == ""
    audited = made.model_copy(update={"record": Record(uri="truth.parquet")})
    found = compare(shifted, None, audited, history=before, seed=1)
    assert "proves nothing" in found.nominated
    assert [e.verdict for e in found.evidence] == [Verdict.WARN]


def test_the_same_seed_gives_the_same_answer():
    batch, control = world(14), drawn(world(14), 2)
    one, two = (compare(batch, control, definition(), seed=5) for _ in range(2))
    assert [e.as_json() for e in one.evidence] == [e.as_json() for e in two.evidence]


def test_one_label_value_and_empty_columns_are_no_crash():
    batch = relabelled(world(15), np.zeros(3000))
    hollow = changed(batch, x=[None] * 3000, c=[None] * 3000)
    assert verdict(hollow, drawn(hollow, 1), definition()) is Verdict.PASS


def test_a_classifier_finds_what_was_moved():
    batch = world(16)
    moved = changed(batch, z=np.where(np.arange(3000) % 3 == 0, 9.0, batch.rows["z"].to_numpy()))
    made = definition(keyed=False)
    p, likeness = classifier_test(pooled(moved, drawn(batch, 1), made, keyed=False), 1, 1)
    assert p < 1e-6
    assert likeness.shape == (3500,)


def test_codes_keep_missing_apart():
    coded, size = codes(np.array([np.nan, 1.0, 1.0, 2.0]), "number")
    assert coded.tolist() == [0, 1, 1, 2]
    assert size == 3
    many, bins = codes(np.arange(1000.0), "number")
    assert bins == 17
    assert (many > 0).all()


def test_match_pairs_rows_by_key_and_counts_what_is_gone():
    batch, truth = world(17, 100), world(17, 100)
    wrong = changed(batch, x=[None, *batch.rows["x"].to_pylist()[1:]])
    found = match(wrong.rows.slice(0, 60), truth.rows, {"x": "number", "c": "category"})
    assert (found.matched, found.mismatched, found.absent) == (60, 1, 40)
    assert found.columns == {"x": 1}
    assert found.where() == "1 in x"


def test_where_rows_differ_is_plain_english():
    counts = {"dep_time": 1200, "_label": 3, "a": 2, "b": 2, "c": 1, "d": 1}
    none = np.zeros(0)
    found = Match(none.astype(int), none.astype(bool), counts, 0)
    assert found.where() == "1,200 in dep_time, 3 in the label, 2 in a, 2 in b, some in 2 more"
    assert (
        Match(none.astype(int), none.astype(bool), {"_label": 65}, 0).where() == "65 in the label"
    )
    assert Match(none.astype(int), none.astype(bool), {}, 0).where() == ""


def several(windows, poison):
    batches, controls = [], []
    for seed in range(windows):
        batch = world(100 + seed)
        controls.append(drawn(batch, seed))
        rows = forged(batch, poison, z=7.7, c="a") if poison else batch
        if poison:
            keys = [f"{k}-{seed}" for k in rows.rows[KEY].to_pylist()]
            rows = changed(rows, **{KEY: keys})
            control = controls.pop()
            again = [f"{k}-{seed}" for k in control.rows[KEY].to_pylist()]
            controls.append(changed(control, **{KEY: again}))
        batches.append(rows)
    return batches, controls


def test_a_few_rows_in_each_window_add_up():
    batches, controls = several(8, 20)
    found = look_back(batches, controls, definition(), seed=1)
    assert found.evidence.verdict is Verdict.BLOCK
    assert "z = 7.7" in found.evidence.arithmetic
    assert found.suspicious[-1][-20:].all()
    assert all(mask[-20:].all() for mask in found.suspicious)


def test_honest_windows_together_pass():
    batches, controls = several(6, 0)
    unique = [
        changed(b, **{KEY: [f"{k}-{i}" for k in b.rows[KEY].to_pylist()]})
        for i, b in enumerate(batches)
    ]
    same = [
        changed(c, **{KEY: [f"{k}-{i}" for k in c.rows[KEY].to_pylist()]})
        for i, c in enumerate(controls)
    ]
    found = look_back(unique, same, definition(), seed=1)
    assert found.evidence.verdict is Verdict.PASS
    uneven = [take(c, np.arange(500 - 60 * i)) for i, c in enumerate(same)]
    assert look_back(unique, uneven, definition(), seed=1).evidence.verdict is Verdict.PASS


def test_one_window_is_nothing_to_look_back_on():
    batches, controls = several(1, 0)
    assert look_back(batches, controls, definition(), seed=1) is None
    plain = parse(TEXT.format(label=LABELS["binary"]))
    assert look_back(batches, controls, plain, seed=1) is None


def test_codes_are_those_of_sorting_every_row():
    rng = np.random.default_rng(3)
    column = np.where(rng.random(4000) < 0.1, np.nan, rng.normal(size=4000))
    column[::7] = 0.25  # often enough for a code of its own
    place, values = ranks(column)
    assert np.array_equal(values, np.unique(column[~np.isnan(column)]))
    assert np.array_equal(place == 0, np.isnan(column))
    assert np.array_equal(values[place[place > 0] - 1], column[place > 0])
    coded, size = codes(column, "number")
    assert size == 18 and set(coded[column == 0.25]) == {1}
    assert ranks(np.array([0.0, -0.0, np.nan]))[0].tolist() == [1, 1, 0]
