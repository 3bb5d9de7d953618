"""How a run of several windows ended, and what more of them would cost."""

from dataclasses import replace

from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision
from ratchet.register import ending, estimate


def decided(window, outcome, **more):
    return Decision("flights", window, 0, 0, "k", "d", outcome, (f"why {window}",), **more)


def test_the_loudest_window_names_the_run():
    made = [decided("1", "promoted"), decided("2", "blocked"), decided("3", "held")]
    found = ending(made)
    assert found.state == "Blocked"
    assert found.title == "1 to 3"
    assert found.message == "1 promoted, 1 blocked, 1 held. 2: why 2"
    assert found.tags == ("blocked", "held", "promoted")
    assert ending(made[:1]) == ending(made[:1])
    assert ending(made[:1]).title == "1"
    assert ending([made[2]]).state == "Completed"


def test_a_broken_instrument_is_louder_than_a_block():
    broken = Evidence("gate.scores", Verdict.ERROR, "not finite")
    blocked = decided("2", "blocked")
    for bad in (
        decided("1", "error"),
        decided("1", "blocked", evidence=(broken,)),
        decided("1", "held", drift={"verdict": "PASS", "report_error": "OSError()"}),
    ):
        assert ending([blocked, bad]).state == "Degraded"


def test_the_cost_is_the_mean_of_the_last_cycles():
    one = decided("1", "held", rows_in=1000, seconds={"ingest": 20.0, "gate": 10.0})
    two = replace(one, rows_in=2000, seconds={"ingest": 50.0})
    text = estimate([one, two, decided("3", "held")], 4)
    assert (
        text == "4 windows to run: about 3 min (40.0 s a window, mean of the last 2) and 6,000 rows"
    )
    assert estimate([one], 1).startswith("1 window to run: about 30 s")
    assert "about 8.3 h" in estimate([one], 1000)
    assert estimate([one], 0) == "0 windows to run"
    assert "no cycle has run yet" in estimate([], 2)
