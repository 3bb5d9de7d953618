"""The benchmark of self-training is an instrument: it must not see the future, nor bill wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import engine_page as page
from benchmarks.engine_fits import FIRST, Fits
from benchmarks.engine_mixture import ABLATIONS, Following, engine
from benchmarks.engine_policies import POLICIES, psi, told
from benchmarks.engine_scores import compare, floors, judge, recovery, run
from benchmarks.engine_streams import Rows, Stream
from ratchet.self_train.mixture import Weighing
from ratchet.self_train.temperature import STEADY

COUNT = 13


def stream(turn_from: int = COUNT) -> Stream:
    """Two numbers; the first one decides, until it decides the other way round."""
    rng = np.random.default_rng(5)

    def window(turned: bool) -> Rows:
        x = rng.random((200, 2), dtype=np.float32)
        y = (x[:, 0] > 0.5) != turned
        y ^= rng.random(200) < 0.05
        return Rows(x, y.astype(np.float32))

    windows = [window(w >= turn_from) for w in range(COUNT)]
    drifts = (turn_from,) if turn_from < COUNT else ()
    oracle = (Rows(windows[-1].matrix, windows[-1].labels),) if drifts else ()
    return Stream("toy", 1, {"x": "number", "z": "number"}, windows, drifts, oracle)


EVERY = {**POLICIES, "engine": engine()}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("delay", [0, 4])
def test_labels_that_are_not_mature_change_nothing(name, delay):
    """Turn around every label that is unknown when a window is scored: its scores stay."""
    plain, judged = stream(), COUNT - 2
    windows = [
        Rows(w.matrix, 1 - w.labels) if i >= judged - delay else w
        for i, w in enumerate(plain.windows)
    ]
    other = Stream("toy", 1, plain.features, windows)
    found, changed = (run(Fits(s), EVERY[name], delay).scores[judged] for s in (plain, other))
    assert np.array_equal(found, changed)


def test_each_policy_is_billed_for_what_it_trains():
    fits = Fits(stream())
    plays = {name: run(fits, policy, 0) for name, policy in EVERY.items()}
    assert plays["static"].retrainings == 1
    assert plays["full, depth 6"].retrainings == COUNT - FIRST
    # three members at first; then the fresh one each window, the recent one every other, and the
    # anchor when ten are known
    assert plays["engine"].retrainings == 3 + (COUNT - FIRST - 1) + 2 + 1
    assert all(p.cpu_seconds > 0 for p in plays.values())


def test_halves_are_billed_where_a_window_surprised_and_nowhere_else():
    fits = Fits(stream(turn_from=10))
    tried = {w: s.tried for w, s in zip(fits.judged, engine()(fits, 0), strict=True)}
    assert len(tried[11]) == 2  # when the labels of the tenth are known
    assert not tried[FIRST] and not tried[9] and not tried[12]
    assert all(f.seconds > 0 for f in tried[11])


def test_the_engine_follows_a_drift_that_the_static_model_does_not():
    fits = Fits(stream(turn_from=10))
    lines = {n: judge(fits.stream, 0, n, run(fits, EVERY[n], 0))[0] for n in ("static", "engine")}
    assert lines["engine"].log_loss < lines["static"].log_loss
    assert lines["engine"].recovery <= 2 < lines["static"].recovery


def test_each_ablation_leaves_one_part_out():
    fits = Fits(stream(turn_from=10))
    whole = run(fits, EVERY["engine"], 0)
    for name, policy in ABLATIONS.items():
        assert page.is_ablation(name)
        part = run(fits, policy, 0)
        if name != "engine, temperature 1":  # which moves after a steady run alone
            assert any((part.scores[w] != whole.scores[w]).any() for w in whole.scores)
        assert (part.retrainings < whole.retrainings) == name.startswith("engine without")
    assert not page.is_ablation("engine")


@pytest.mark.parametrize("tempered", [True, False])
def test_a_mixture_that_was_long_too_unsure_is_made_surer(tempered):
    rng, following = np.random.default_rng(3), Following(0, tempered=tempered)
    alone = Weighing({"a": 1.0}, "")
    for _ in range(STEADY):
        made = following.mixed({"a": None}, lambda _: alone)
        assert made.temperature == 1
        honest = rng.normal(0, 2, 2000)
        y = (rng.random(2000) < 1 / (1 + np.exp(-honest))).astype(float)
        following.see(y, {"a": honest / 2}, made)
    assert (following.mixed({"a": None}, lambda _: alone).temperature < 0.9) == tempered


def test_who_is_told_of_a_drift_learns_the_new_rule_alone():
    fits = Fits(stream(turn_from=10))
    learned = [step.trained[0].rows // 200 for step in told(fits, 0)]
    assert learned == [*range(FIRST, 11), *range(1, COUNT - 10)]
    line, scored = judge(fits.stream, 0, "told", run(fits, told, 0))
    assert line.recovery == 1
    assert scored[10].loss > 1
    assert scored[11].loss < 0.5
    assert scored[11].auc > 0.9


def test_recovery_counts_windows_of_mature_labels():
    floor = {10: dict.fromkeys(range(10, 16), 0.3)}
    losses = {9: 0.3, 10: 0.8, 11: 0.8, 12: 0.8, 13: 0.38, 14: 0.3, 15: 0.3}
    assert recovery(losses, floor, delay=0) == 3
    assert recovery(losses, floor, delay=2) == 1
    never = dict.fromkeys(range(9, 16), 0.8)
    assert recovery(never, floor, delay=0) == 6
    assert recovery(dict.fromkeys(range(9, 16), 0.31), floor, delay=0) == 0  # it cost nothing
    assert np.isnan(recovery({}, floor, delay=0))


def test_the_floor_of_a_drift_is_a_model_that_knows_the_new_concept():
    found = floors(stream(turn_from=10))
    assert list(found) == [10]
    assert max(found[10].values()) < 0.6


def test_the_worst_window_is_against_the_model_before():
    fits = Fits(stream())
    play = run(fits, POLICIES["static"], 0)
    assert judge(fits.stream, 0, "static", play)[0].worst_window == 0  # it is the same model


def test_policies_are_compared_by_blocks_of_windows():
    mean, half = compare([0.5] * 40, [0.4, 0.6] * 20)
    assert (mean, half) == (pytest.approx(0), pytest.approx(0, abs=1e-12))
    assert compare([1.0] * 8, [0.0] * 8)[1] == float("inf")  # two blocks prove nothing


def test_psi_is_small_for_the_same_and_large_for_a_shift():
    rng = np.random.default_rng(1)
    before, same = rng.normal(size=(2, 2000)).astype(np.float32)
    assert psi(before, same) < 0.05
    assert psi(before, same + 2) > 1
    assert psi(before, np.where(rng.random(2000) < 0.5, np.nan, same)) > 0.2


def test_results_are_read_back_and_only_what_ran_is_replaced(tmp_path):
    fits = Fits(stream())
    for delay in (0, 2):
        lines, curves = [], {}
        for name in ("full, depth 6", "engine"):
            line, losses = judge(fits.stream, delay, name, run(fits, EVERY[name], delay))
            lines.append(line)
            curves["toy", 1, delay, name] = losses
        page.write(lines, curves, tmp_path)
    found, read = page.read(tmp_path)
    assert sorted((x.delay, x.policy) for x in found) == [
        (delay, name) for delay in (0, 2) for name in ("engine", "full, depth 6")
    ]
    assert next(x for x in found if x.delay == 2 and x.policy == "engine").retrainings == 10
    again = read["toy", 1, 2, "engine"]
    assert sorted(again) == list(range(FIRST, COUNT))
    assert all(again[w] == pytest.approx(curves["toy", 1, 2, "engine"][w], abs=1e-4) for w in again)
    assert "AUC against the best of them (full, depth 6)" in page.table(found, read)
    assert "toy, label delay 2" in (tmp_path / page.SUMMARY).read_text()
    assert (tmp_path / page.PLOT).stat().st_size > 5000
