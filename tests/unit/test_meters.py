"""Numbers from decisions: what each counts, and that labels stay few."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from ratchet import meters
from ratchet.adapters.prometheus import as_text
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision
from ratchet.contracts.readings import BUCKETS, FAMILIES, Spread
from ratchet.meters import Done, of_decisions

T0 = datetime(2026, 1, 5, tzinfo=UTC)
P = ("flights",)


def made(index: int, outcome: str = "held", **more: Any) -> Decision:
    values = {"champion_before": 1, "champion_after": 1, "rows_in": 10, "accepted": 9, **more}
    key = f"flights/{index}/d"
    return Decision("flights", str(index), index, 0, key, "d", outcome, ("r",), **values)  # type: ignore[arg-type]


def done(*decisions: Decision) -> list[Done]:
    return [Done(d, T0 + timedelta(hours=i)) for i, d in enumerate(decisions)]


def test_cycles_rollbacks_and_the_champion() -> None:
    back = replace(
        made(3, "promoted", champion_before=2, champion_after=1, rows_in=0, accepted=0),
        cycle_key="flights/rollback/now",
    )
    lines = done(
        made(0, "promoted", champion_before=None, champion_after=1),
        made(1),
        made(2, "promoted", champion_before=1, champion_after=2),
        made(3, "error", champion_before=2, champion_after=2),
        back,
    )
    found = of_decisions("flights", reversed(lines))
    assert found["ratchet_cycles_total"] == {
        ("flights", "promoted"): 2,
        ("flights", "held"): 1,
        ("flights", "blocked"): 0,
        ("flights", "no_data"): 0,
        ("flights", "error"): 1,
    }
    assert found["ratchet_rollbacks_total"] == {P: 1}
    assert found["ratchet_champion_version"] == {P: 1}
    assert found["ratchet_champion_since_timestamp_seconds"] == {P: lines[4].at.timestamp()}
    assert found["ratchet_windows_since_promotion"] == {P: 1}
    assert found["ratchet_last_cycle_timestamp_seconds"] == {P: lines[3].at.timestamp()}
    assert found["ratchet_last_successful_cycle_timestamp_seconds"] == {P: lines[2].at.timestamp()}


def test_without_a_decision_nothing_is_claimed() -> None:
    found = of_decisions("flights", [])
    assert found["ratchet_cycles_total"][("flights", "promoted")] == 0
    for name in ("champion_version", "last_cycle_timestamp_seconds", "holdout_loss", "drift_share"):
        assert f"ratchet_{name}" not in found


def test_rows_of_a_window_that_was_learned_from_twice_count_once() -> None:
    again = replace(made(1, "held"), cycle_key="flights/1/d/trusted")
    found = of_decisions("flights", done(made(0), made(1, "blocked"), again))
    assert found["ratchet_rows_total"][("flights", "in")] == 20
    assert found["ratchet_rows_total"][("flights", "accepted")] == 18


def test_blocked_in_a_row_counts_windows_and_ends_where_one_was_rescued() -> None:
    def row(*outcomes: tuple[int, str]) -> float:
        lines = done(*(made(i, o) for i, o in outcomes))
        return of_decisions("flights", lines)["ratchet_blocked_windows_in_a_row"][P]  # type: ignore[return-value]

    assert row((0, "blocked"), (1, "held")) == 0
    assert row((0, "held"), (1, "blocked"), (2, "error"), (3, "blocked")) == 3
    assert row((0, "blocked"), (1, "blocked"), (1, "held"), (2, "blocked")) == 1


def test_durations_fall_into_their_buckets_and_no_duration_is_lost() -> None:
    took = [{"gate": 4.0, "drift": 1.0}, {"gate": 5.1}, {"gate": 99999.0, "made up": 1.0}]
    found = of_decisions("flights", done(*(made(i, seconds=s) for i, s in enumerate(took))))
    assert found["ratchet_cycle_duration_seconds"][P] == Spread(
        (1, 1, *(0,) * (len(BUCKETS) - 3), 1), 4 + 1 + 5.1 + 100000
    )
    assert found["ratchet_stage_seconds_total"] == {
        ("flights", "gate"): 4.0 + 5.1 + 99999.0,
        ("flights", "drift"): 1.0,
    }


def test_failed_checks_are_counted_by_check_and_verdict_and_stay_few() -> None:
    def evidence(name: str, verdict: Verdict = Verdict.BLOCK) -> Evidence:
        return Evidence(name, verdict, "x")

    many = [evidence(f"made.{i}") for i in range(200)]
    lines = done(
        made(0, evidence=(evidence("suite.between(x)"), evidence("suite.between(y)"))),
        made(1, evidence=(evidence("gate.floor", Verdict.INCONCLUSIVE),)),
        made(2, evidence=(evidence("gate.floor", Verdict.PASS), *many)),
    )
    found = of_decisions("flights", lines)["ratchet_failed_checks_total"]
    assert found[("flights", "suite", "BLOCK")] == 2
    assert found[("flights", "gate.floor", "INCONCLUSIVE")] == 1
    assert found[("flights", "other", "BLOCK")] == 200 - (meters.MOST_CHECKS - 2)
    assert len(found) == meters.MOST_CHECKS + 1


def test_losses_are_those_of_the_newest_judged_window() -> None:
    lines = done(
        made(0, candidate={"loss": 0.5}, champion={"loss": 0.6}, drift={"share_moved": 0.4}),
        made(1, "no_data"),
    )
    found = of_decisions("flights", lines)
    assert found["ratchet_holdout_loss"] == {
        ("flights", "candidate"): 0.5,
        ("flights", "champion"): 0.6,
    }
    assert found["ratchet_drift_share"] == {P: 0.4}


def test_label_lag_is_never_negative_and_unknown_without_labels() -> None:
    assert meters.of_landed("flights", [1, 2, 7], [1, 4]) == {"ratchet_label_lag_windows": {P: 3.0}}
    assert meters.of_landed("flights", [1], [9]) == {"ratchet_label_lag_windows": {P: 0.0}}
    assert meters.of_landed("flights", [1], []) == {}


def test_the_text_is_what_prometheus_reads() -> None:
    found = of_decisions("flights", done(made(0, seconds={"gate": 7.0})))
    found = meters.merged([found, {"ratchet_up": {('we"ird\n',): 1.0}}])
    families = {family.name: family for family in parse(as_text(found))}
    declared = {family.name.removesuffix("_total") for family in FAMILIES}
    assert set(families) <= declared
    samples = families["ratchet_cycle_duration_seconds"].samples
    cycle = {s.labels.get("le", s.name): s.value for s in samples}
    assert (cycle["5.0"], cycle["15.0"], cycle["+Inf"]) == (0, 1, 1)
    assert cycle["ratchet_cycle_duration_seconds_sum"] == 7
    (up,) = families["ratchet_up"].samples
    assert up.labels == {"pipeline": 'we"ird\n'}
    assert families["ratchet_cycles"].type == "counter"
    assert all(f.documentation for f in families.values())
