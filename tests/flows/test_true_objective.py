"""A stream that can be gamed, through whole cycles."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gamed


@pytest.mark.slow
def test_what_games_the_label_is_promoted_without_a_true_objective_and_blocked_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gamed, "WINDOWS", 16)
    lives = {}
    for name, text in (("plain", gamed.PIPELINE), ("true", gamed.PIPELINE + gamed.TRUE)):
        found = list(gamed.live(tmp_path / name, text, seed=77))
        decided = [d for _, d in found if d is not None]
        late = [d for d in decided if d.window_index >= gamed.FIRST_BAIT + 2]
        shown = [table["satisfied"].to_numpy().mean() for table, _ in found[-4:]]
        lives[name] = (decided, late, sum(shown) / len(shown))
    plain, true = lives["plain"], lives["true"]
    assert any(d.outcome == "promoted" for d in plain[1])
    assert all(d.outcome != "promoted" for d in true[1])
    assert any(d.outcome == "promoted" for d in true[0])  # the first champion, before the bait
    blocks = [e for d in true[1] for e in d.evidence if e.check == "gate.true_objective"]
    said = [e.arithmetic for e in blocks if e.verdict == "BLOCK"]
    assert len(said) >= 4
    assert any("it falls, while log loss on click improves by" in text for text in said)
    assert true[2] > plain[2] + 0.05  # and the gap grows
    assert not any(e.check == "gate.true_objective" for d in plain[0] for e in d.evidence)
