"""Decisions, their pages and their recovery: pure functions on values."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratchet.contracts.columns import decisions_schema, incidents_schema
from ratchet.contracts.evidence import Evidence, Verdict
from ratchet.contracts.lineage import Decision
from ratchet.errors import Damaged
from ratchet.register import (
    PAGE_LIMIT,
    Entry,
    SetAlias,
    WriteDone,
    decide,
    decision_row,
    decisions_from,
    describe,
    incident_row,
    largest_sources,
    plain,
    recover,
    run_metrics,
    run_params,
    same_scores,
    unfinished,
    version_tags,
)
from ratchet.register.steps import next_steps
from tests import small_bundle

NOW = datetime(2013, 3, 12, tzinfo=UTC)
PASSED = Evidence("data.suite", Verdict.PASS, "0 of 6,500 rows fail")
BLOCKED = Evidence("data.suite", Verdict.BLOCK, "share 0.31 > maximum 0.05", 0.31, 0.05)
GAIN = Evidence("gate.improvement", Verdict.PASS, "gain 0.0021, lower bound 0.0008 > 0", 0.0008, 0)
FLOOR = Evidence("gate.floor", Verdict.PASS, "AUC 0.73 >= 0.55", 0.73, 0.55)


def decision(**changes) -> Decision:
    base = Decision(
        pipeline="flights",
        window="2013-03-05",
        window_index=9,
        as_of=1_363_046_400_000_000,
        cycle_key="flights/9/eeeeeeeeeeeeeeee",
        definition_digest="e" * 64,
        outcome="promoted",
        reasons=(GAIN.arithmetic, FLOOR.arithmetic),
        evidence=(PASSED, GAIN, FLOOR),
        rows_in=6500,
        accepted=6400,
        quarantined=100,
        labels_in=6300,
        drift={"verdict": "WARN"},
        recipe="all_history",
        recipe_losses={"all_history": 0.45},
        candidate={"auc": 0.7312, "log_loss": 0.4512},
        champion={"auc": 0.7201},
        champion_before=3,
        champion_after=4,
        lineage=small_bundle.lineage(),
        seconds={"ingest": 0.4},
        peak_mib=512.0,
    )
    return replace(base, **changes)


class TestDecide:
    def test_all_gates_pass_promotes_and_the_improvement_comes_first(self):
        outcome, reasons = decide([PASSED], [FLOOR, GAIN], rows_in=6500)
        assert (outcome, reasons[0]) == ("promoted", GAIN.arithmetic)

    @pytest.mark.parametrize(
        ("verdict", "outcome"),
        [
            (Verdict.WARN, "promoted"),
            (Verdict.INCONCLUSIVE, "held"),
            (Verdict.BLOCK, "blocked"),
            (Verdict.ERROR, "error"),
        ],
    )
    def test_the_most_severe_gate_decides(self, verdict, outcome):
        other = Evidence("gate.calibration", verdict, "error 0.2 > 0.1")
        found, reasons = decide([PASSED], [GAIN, other, FLOOR], rows_in=6500)
        assert found == outcome
        assert "error 0.2 > 0.1" in reasons

    def test_the_most_severe_reason_comes_first_and_passed_ones_are_left_out(self):
        unsure = Evidence("gate.slices", Verdict.INCONCLUSIVE, "unsure")
        block = Evidence("gate.floor", Verdict.BLOCK, "too low")
        assert decide([PASSED], [GAIN, unsure, block], rows_in=1)[1] == ("too low", "unsure")

    def test_of_one_verdict_the_most_telling_reason_comes_first(self):
        """Whatever the order of the checks: the truth, then what names a fault, then totals."""
        found = [
            Evidence("rows.quarantined_share", Verdict.BLOCK, "total"),
            Evidence("suite.x", Verdict.BLOCK, "a rule"),
            Evidence("suite.y", Verdict.BLOCK, "another rule"),
            Evidence("columns.stuck", Verdict.ERROR, "broke"),
            Evidence("control.match", Verdict.BLOCK, "the truth"),
            Evidence("labels.share", Verdict.INCONCLUSIVE, "unsure"),
            PASSED,
        ]
        reasons = decide(found, [], rows_in=10)[1]
        assert reasons == ("broke", "the truth", "a rule", "another rule", "total", "unsure")
        again = [found[i] for i in (5, 4, 6, 1, 3, 2, 0)]
        assert decide(again, [], rows_in=10)[1] == reasons

    @pytest.mark.parametrize("verdict", [Verdict.BLOCK, Verdict.ERROR])
    def test_blocked_data_is_blocked_even_without_rows(self, verdict):
        bad = replace(BLOCKED, verdict=verdict)
        assert decide([PASSED, bad], [], rows_in=0) == ("blocked", (BLOCKED.arithmetic,))

    def test_no_rows_is_no_data(self):
        assert decide([PASSED], [GAIN], rows_in=0)[0] == "no_data"

    @pytest.mark.parametrize(
        ("data", "gate", "why"),
        [
            ([], [GAIN], "no evidence on the data"),
            ([Evidence("d", Verdict.INCONCLUSIVE, "10 rows < 50")], [GAIN], "10 rows < 50"),
            ([PASSED], [], "no evidence from the gate"),
        ],
    )
    def test_missing_evidence_never_passes(self, data, gate, why):
        outcome, reasons = decide(data, gate, rows_in=10)
        assert outcome == "held"
        assert why in reasons[0]

    def test_no_candidate_is_held_with_its_reason(self):
        found = decide([PASSED], [], rows_in=10, no_candidate="one class only")
        assert found == ("held", ("one class only",))

    @given(
        st.lists(st.sampled_from(list(Verdict)), max_size=4),
        st.lists(st.sampled_from(list(Verdict)), max_size=4),
        st.integers(0, 2),
    )
    def test_promoted_needs_every_check_to_let_through(self, data, gate, rows):
        found = [[Evidence("c", v, f"{v}") for v in verdicts] for verdicts in (data, gate)]
        outcome, reasons = decide(found[0], found[1], rows_in=rows)
        assert reasons
        fine = all(v.lets_through for v in (*data, *gate)) and data and gate and rows
        assert (outcome == "promoted") == bool(fine)


class TestLargestSources:
    def test_those_that_sent_most_are_named_and_the_rest_summed_up(self):
        sent = {f"s{i}": {"rows": i, "labels": 2 * i} for i in range(5)}
        assert largest_sources(sent, most=2) == {
            "s4": {"rows": 4, "labels": 8},
            "s3": {"rows": 3, "labels": 6},
            "(3 others)": {"rows": 3, "labels": 6},
        }
        assert largest_sources({}) == {}


class TestNextSteps:
    def test_blocked_data_lead_to_quarantine_rules_and_senders(self):
        blocked = decision(
            outcome="blocked",
            champion_after=3,
            quarantined=6400,
            evidence=(
                Evidence("suite.x", Verdict.BLOCK, "x"),
                Evidence("control.rows", Verdict.BLOCK, "y"),
            ),
        )
        assert [command for _, command in next_steps(blocked)] == [
            "ratchet quarantine list -p flights",
            "ratchet suite diff -p flights",
            "ratchet report 2013-03-05 -p flights --checks",
            "ratchet source list -p flights",
            "ratchet source revoke NAME -p flights --dry-run",
            "ratchet status -p flights",
            "ratchet explain 2013-03-05 -p flights --json",
        ]

    def test_entries_that_wait_are_named_with_what_may_be_done(self):
        blocked = decision(
            outcome="blocked",
            champion_after=3,
            quarantined=6400,
            evidence=(Evidence("control.match", Verdict.BLOCK, "y"),),
            sources={"meters-7": {"rows": 6400, "labels": 0}},
        )
        waiting = ["2013-03-05/batch/suite.between(x)", "2013-03-05/label/control.match"]
        commands = [command for _, command in next_steps(blocked, waiting)]
        who = "-p flights --by YOU --reason WHY"
        assert commands[:6] == [
            f"ratchet quarantine show '{waiting[0]}' -p flights",
            f"ratchet quarantine release '{waiting[0]}' {who}",
            f"ratchet quarantine discard '{waiting[0]}' {who}",
            f"ratchet quarantine show {waiting[1]} -p flights",
            f"ratchet quarantine release {waiting[1]} {who}",
            f"ratchet quarantine discard {waiting[1]} {who}",
        ]
        assert "ratchet report 2013-03-05 -p flights --checks" in commands
        assert "ratchet source revoke meters-7 -p flights --dry-run" in commands
        assert f"    {commands[1]}\n" in describe(blocked, waiting=waiting)
        many = [command for _, command in next_steps(blocked, [*waiting, "a/b", "c/d"])]
        assert "ratchet quarantine list -p flights" in many
        assert not any("c/d" in command for command in many)

    def test_an_entry_that_a_shell_may_obey_is_not_named(self):
        held = decision(outcome="blocked", champion_after=3, quarantined=1)
        for odd in ("a'; rm -rf /", "$(x)", "a`b`", "a\nb", "\u202ea", "-3/row/x", "x" * 300):
            said = [command for _, command in next_steps(held, [odd])]
            assert said[0] == "ratchet quarantine list -p flights"

    def test_a_name_in_a_command_is_only_a_name(self):
        odd = decision(pipeline="a; rm -rf /", window="$(x)`y`\n--help")
        said = " ".join(command for _, command in next_steps(odd))
        assert not set(";$`()\n/") & set(said)


class TestSameScores:
    def test_equal_scores_pass(self):
        found = same_scores(np.array([0.1, 0.2]), np.array([0.1, 0.2]), 4)
        assert found.verdict is Verdict.PASS
        assert found.arithmetic == "version 4 loaded: 0 of 2 predictions differ, 0 allowed"

    @pytest.mark.parametrize("other", [[0.1, np.nextafter(0.2, 1)], [0.1, np.nan], [0.1, np.inf]])
    def test_one_bit_of_difference_blocks(self, other):
        found = same_scores(np.array([0.1, 0.2]), np.array(other), 4)
        assert (found.verdict, found.measured) == (Verdict.BLOCK, 1.0)

    def test_scores_that_are_not_finite_block_even_when_equal(self):
        assert same_scores(np.array([np.inf]), np.array([np.inf]), 4).verdict is Verdict.BLOCK

    def test_rows_of_many_classes_count_once(self):
        expected, scores = np.full((3, 3), 0.25), np.full((3, 3), 0.25)
        scores[1, :2] = 0.5
        assert same_scores(expected, scores, 4).measured == 1.0

    def test_another_shape_blocks_and_no_rows_prove_nothing(self):
        assert same_scores(np.zeros(2), np.zeros(3), 4).verdict is Verdict.BLOCK
        assert same_scores(np.zeros(0), np.zeros(0), 4).verdict is Verdict.INCONCLUSIVE


class TestRows:
    def test_a_decision_comes_back_as_it_was_written(self):
        table = decision_row(decision(), "intent", NOW, "run 7")
        assert table.schema == decisions_schema()
        assert decisions_from(table) == [
            Entry(decision().cycle_key, "cycle", "intent", decision(), "run 7", NOW)
        ]

    def test_a_decision_without_champion_or_lineage_comes_back_too(self):
        bare = decision(outcome="no_data", lineage=None, champion_before=None, champion_after=None)
        assert decisions_from(decision_row(bare, "done", NOW, "x"))[0].decision == bare

    def test_an_empty_table_has_no_decisions(self):
        import pyarrow as pa

        assert decisions_from(pa.table({})) == []

    def test_a_damaged_document_is_named(self):
        table = decision_row(decision(), "done", NOW, "x")
        place = table.schema.get_field_index("document")
        import pyarrow as pa

        for text in ("{", "[]", "{}", '{"evidence": [{"check": "x"}]}'):
            broken = table.set_column(place, "document", pa.array([text]))
            with pytest.raises(Damaged, match="flights/9"):
                decisions_from(broken)

    def test_an_incident_names_what_did_not_pass(self):
        blocked = decision(outcome="blocked", reasons=("share 0.31",), evidence=(PASSED, BLOCKED))
        row = incident_row(blocked, NOW)
        assert row.schema == incidents_schema()
        (line,) = row.to_pylist()
        assert (line["kind"], line["summary"]) == ("blocked", "share 0.31")
        assert "data.suite" in line["document"]
        assert incident_row(blocked, NOW).equals(row)
        assert incident_row(replace(blocked, outcome="error"), NOW)["id"] != row["id"]

    def test_tags_hold_every_digest_and_only_text(self):
        bundle = small_bundle.bundle()
        tags = version_tags(bundle, decision())
        assert tags["ratchet.bundle_digest"] == bundle.digest
        assert tags["ratchet.model_digest"] == bundle.manifest.files["model.ubj"]
        assert tags["ratchet.data_digest"] == "d" * 64
        assert tags["ratchet.cycle_key"] == decision().cycle_key
        assert all(isinstance(v, str) for v in tags.values())

    def test_metrics_are_finite_and_grouped(self):
        broken = Evidence("gate.slices", Verdict.ERROR, "broken", float("nan"))
        found = run_metrics(decision(evidence=(GAIN, broken, PASSED)))
        assert found["candidate/auc"] == 0.7312
        assert found["champion/auc"] == 0.7201
        assert found["gate/improvement"] == 0.0008
        assert found["seconds/ingest"] == 0.4
        assert "gate/slices" not in found

    def test_params_say_what_was_asked_for(self):
        found = run_params(decision())
        assert (found["recipe"], found["recipe.rounds"]) == ("all_history", "5")
        assert run_params(decision(lineage=None))["window"] == "2013-03-05"


class Tags(HTMLParser):
    """Collects the HTML tags of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)


class TestDescribe:
    def test_a_promotion_tells_what_why_and_what_next(self):
        text = describe(decision()).replace("\u00a0", "")
        assert text.startswith("## Promoted: window 2013-03-05 of flights\n")
        assert "The champion was version 3 and is now **version 4**." in text
        assert "| gate.improvement | PASS | gain 0.0021, lower bound 0.0008 > 0 |" in text
        assert "| auc | 0.7312 | 0.7201 |" in text
        assert "| log\\_loss | 0.4512 |  |" in text
        assert "200, events from the beginning until 2013-02-26" in text
        assert "2013-03-12 (as-of)" in text
        assert "all\\_history (max\\_depth 3, rounds 5)" in text
        assert "accepted v9, labels v8" in text
        assert "ratchet verify 4 -p flights" in text
        assert "ratchet rollback -p flights --to 3 --by YOU --reason WHY" in text
        assert "6,500 rows in, 6,400 accepted, 100 quarantined" in text

    @pytest.mark.parametrize(
        ("before", "after", "said"),
        [
            (None, 1, "**Version 1** is the first champion."),
            (3, 3, "The champion stays **version 3**."),
            (None, None, "There is no champion yet."),
            (1, None, "Version 1 is no longer champion."),
        ],
    )
    def test_the_champion_is_always_named(self, before, after, said):
        assert said in describe(decision(champion_before=before, champion_after=after))

    @pytest.mark.parametrize("outcome", ["held", "blocked", "no_data", "error"])
    def test_what_was_not_promoted_has_no_verify_line(self, outcome):
        text = describe(decision(outcome=outcome, champion_after=3, lineage=None, candidate={}))
        assert "ratchet verify" not in text
        assert "ratchet explain 2013-03-05 -p flights" in text
        assert "### Trained on" not in text

    def test_an_integer_clock_shows_integers(self):
        line = replace(small_bundle.lineage(), window="4500", as_of=5000, train_before=4000)
        text = describe(decision(window="4500", as_of=5000, lineage=line))
        assert "events from the beginning until 4000" in text

    def test_values_cannot_break_the_page(self):
        evil = (
            "<script>alert(1)</script> a|b `x` [l](javascript:1) \u202eabc\x00 # h\n\n## own **b**"
        )
        hurt = decision(
            window=evil,
            reasons=(evil,),
            evidence=(Evidence(evil, Verdict.BLOCK, evil), GAIN),
            drift={"verdict": evil},
            candidate={evil: 0.5},
            lineage=replace(small_bundle.lineage(), recipe={"name": evil, evil: evil}),
        )
        text = describe(hurt)
        assert Tags(text).found == []
        assert "\u202e" not in text
        assert "\x00" not in text
        assert not [line for line in text.splitlines() if line.startswith("## own")]
        assert not re.search(r"(?<!\\)\]\(", text)  # no link
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert {line.count("|") for line in rows} <= {3, 4}

    @given(st.text(max_size=400))
    def test_plain_text_is_one_line_without_markup(self, text):
        shown = plain(text)
        assert len(shown.splitlines()) <= 1
        assert Tags(shown).found == []
        assert "|" not in shown

    @pytest.mark.parametrize("checks", [0, 30, 300])
    def test_the_page_fits_the_column_of_the_registry(self, checks):
        many = [
            Evidence(f"data.check_{i}", Verdict.PASS, f"column {i}: {'x' * 200}")
            for i in range(checks)
        ]
        long = [Evidence(f"gate.{i}", Verdict.BLOCK, "y" * 400) for i in range(12)]
        text = describe(decision(evidence=(*many, *long, GAIN), reasons=("z" * 900,) * 9))
        assert len(text) <= PAGE_LIMIT
        assert "gate.improvement" in text
        if checks:
            assert "more checks that passed" in text
            everything = describe(decision(evidence=(*many, *long)), limit=None)
            assert f"data.check\\_{checks - 1}" in everything

    def test_even_an_impossible_page_is_cut_at_a_line(self):
        long = [Evidence(f"gate.{i}", Verdict.BLOCK, "y" * 400) for i in range(300)]
        text = describe(decision(evidence=tuple(long)))
        assert len(text) <= PAGE_LIMIT
        assert text.endswith("|\n\n…")


def entry(number: int, phase: str, kind: str = "cycle", **changes) -> Entry:
    made = decision(
        window_index=number,
        cycle_key=f"flights/{number}/e",
        champion_before=number - 1 or None,
        champion_after=number,
        **changes,
    )
    return Entry(made.cycle_key, kind, phase, made, "x", NOW)


class World:
    """The table and the alias, with a promotion and a recovery that can be cut off anywhere."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.champion: int | None = None
        self.steps = 0

    def promote(self, number: int, steps: int) -> None:
        before = self.champion
        made = entry(number, "intent").decision
        made = replace(made, champion_before=before)
        intent = Entry(made.cycle_key, "cycle", "intent", made, "x", NOW)
        moves = [
            lambda: self.entries.append(intent),
            lambda: setattr(self, "champion", number),
            lambda: self.entries.append(replace(intent, phase="done")),
        ]
        for move in moves[:steps]:
            move()

    def recover(self, verified: set[int], steps: int | None = None) -> None:
        for action in recover(self.entries, self.champion, verified)[:steps]:
            if isinstance(action, SetAlias):
                self.champion = action.version
            else:
                made = action.decision
                self.entries.append(Entry(made.cycle_key, action.kind, "done", made, "x", NOW))


class TestRecover:
    def test_nothing_is_done_when_nothing_is_open(self):
        assert recover([], None, ()) == []
        assert recover([entry(1, "intent"), entry(1, "done")], 1, {1}) == []

    def test_a_verified_version_is_completed(self):
        plan = recover([entry(2, "intent")], 1, {2})
        assert plan == [SetAlias(2), WriteDone(entry(2, "intent").decision, "cycle", True)]

    def test_an_alias_that_moved_only_lacks_its_done(self):
        plan = recover([entry(2, "intent", kind="rollback")], 2, {2})
        assert plan == [WriteDone(entry(2, "intent").decision, "rollback", True)]

    def test_what_cannot_be_verified_is_undone_and_says_so(self):
        (done,) = recover([entry(2, "intent")], 1, ())
        assert isinstance(done, WriteDone)
        assert (done.completed, done.decision.outcome) == (False, "error")
        assert done.decision.champion_after == 1
        assert "version 2 could not be verified" in done.decision.reasons[0]
        assert "version 1 stays champion" in done.decision.reasons[0]

    def test_the_first_champion_that_cannot_be_verified_leaves_none(self):
        assert recover([entry(1, "intent")], 1, ())[0] == SetAlias(None)

    def test_an_alias_moved_by_hand_goes_to_a_gated_version(self):
        assert recover([entry(2, "intent")], 77, {2})[0] == SetAlias(2)
        assert recover([entry(2, "intent")], 77, ())[0] == SetAlias(1)

    def test_an_overtaken_intent_never_moves_the_alias_back(self):
        entries = [entry(2, "intent"), entry(3, "intent"), entry(3, "done")]
        (done,) = recover(entries, 3, {2, 3})
        assert isinstance(done, WriteDone)
        assert not done.completed
        assert "later decision" in done.decision.reasons[0]

    def test_an_intent_written_twice_is_one(self):
        assert len(unfinished([entry(2, "intent"), entry(2, "intent")])) == 1

    @given(
        earlier=st.integers(0, 2),
        crash=st.integers(0, 3),
        good=st.booleans(),
        recovery_crashes=st.lists(st.integers(0, 2), max_size=3),
    )
    def test_from_any_crash_point_one_gated_champion_and_a_done_for_each_intent(
        self, earlier, crash, good, recovery_crashes
    ):
        world = World()
        for number in range(1, earlier + 1):
            world.promote(number, 3)
        before, after = world.champion, earlier + 1
        world.promote(after, crash)
        verified = {after} if good else set()
        for steps in recovery_crashes:
            world.recover(verified, steps)
        world.recover(verified)
        assert world.champion in (before, after)
        started, finished = crash > 0, crash == 3
        assert (world.champion == after) == (started and (good or finished))
        assert unfinished(world.entries) == []
        ids = [e.id for e in world.entries if e.phase == "done"]
        assert len(ids) == len(set(ids)) == earlier + started
        if started:
            last = [e for e in world.entries if e.phase == "done"][-1]
            assert last.decision.champion_after == world.champion
        again = list(world.entries), world.champion
        world.recover(verified)
        assert (world.entries, world.champion) == again
