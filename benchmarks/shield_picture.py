"""What the shield's benchmark found, as one picture: attacks down, defences across.

    python -m benchmarks.shield_picture benchmarks/results/shield.csv docs/images/shield.png

A cell is the share of attacked batches that a defence blocked, the mean over the attack's
strengths; the topmost row is clean batches, where blocking is the fault.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLEAN = "(clean)"
# Columns of the table that are no defence.
OTHERS = ("stream", "attack", "strength", "auc_damage", "trigger_success", "nominated")

Shares = Mapping[str, Mapping[str, Mapping[str, float]]]  # stream, attack, defence


def draw(table: Path, path: Path) -> None:
    """Draw the table that ``make bench-shield`` wrote.

    Args:
        table: its CSV.
        path: the PNG to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    defences = [n for n in lines[0] if n not in OTHERS and any(x[n] for x in lines)]
    shares, worst = _shares(lines, defences), _worst(lines)
    attacks = sorted({x["attack"] for x in lines} - {CLEAN}, key=lambda a: -worst.get(a, 0.0))
    size = (3.4 + 4.6 * len(shares), 1.9 + 0.27 * (len(attacks) + 1))
    figure, panels = plt.subplots(
        1, len(shares), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for panel, (stream, found) in zip(panels[0], shares.items(), strict=True):
        _panel(panel, stream, found, attacks, defences)
    names = [f"{a.replace('_', ' ')}   -{worst.get(a, 0.0):.3f}" for a in attacks]
    panels[0][0].set_yticks(range(len(names) + 1), ["clean batches: false alarms", *names])
    figure.suptitle(
        "Share of attacked batches that each defence blocked (beside each attack: the largest AUC "
        "loss if it is accepted)"
    )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _panel(
    panel: Any,
    stream: str,
    found: Mapping[str, Mapping[str, float]],
    attacks: Sequence[str],
    defences: Sequence[str],
) -> None:
    """One stream; false alarms in red, for there a blocked batch is the fault."""
    from matplotlib import colormaps

    for i, attack in enumerate([CLEAN, *attacks]):
        colours = colormaps["Reds" if attack == CLEAN else "cividis"]
        for j, defence in enumerate(defences):
            share = found.get(attack, {}).get(defence)
            if share is None:
                continue
            red, green, blue, _ = colour = colours(share)
            dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
            panel.barh(i, 1, left=j - 0.5, height=1, color=colour)
            text = {"ha": "center", "va": "center", "fontsize": 8}
            panel.text(j, i, f"{100 * share:.0f}", color="white" if dark else "black", **text)
    panel.set_xlim(-0.5, len(defences) - 0.5)
    panel.set_ylim(len(attacks) + 0.5, -0.5)
    panel.axhline(0.5, color="white", linewidth=4)
    panel.axvline(3.5, color="white", linewidth=4)  # ours | the peers'
    panel.set_xticks(range(len(defences)), defences, rotation=40, ha="left", fontsize=9)
    panel.xaxis.tick_top()
    panel.tick_params(length=0)
    panel.set_frame_on(False)
    panel.set_title(f"{stream}, %", fontweight="bold")


def _shares(lines: Sequence[Mapping[str, str]], defences: Sequence[str]) -> Shares:
    """The mean over an attack's strengths."""
    cells: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for line in lines:
        for defence in defences:
            if line[defence]:
                bad, of = map(int, line[defence].split("/"))
                cells[line["stream"]][line["attack"]][defence].append(bad / of)
    return {
        stream: {a: {d: sum(v) / len(v) for d, v in of.items()} for a, of in attacks.items()}
        for stream, attacks in cells.items()
    }


def _worst(lines: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """The largest AUC that an attack costs at any strength on any stream."""
    worst: dict[str, float] = {}
    for line in lines:
        if line["auc_damage"]:
            worst[line["attack"]] = max(worst.get(line["attack"], 0.0), float(line["auc_damage"]))
    return worst


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
