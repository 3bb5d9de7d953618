"""The results as a CSV, a table for people, and one picture.

>>> write(lines, curves, Path("benchmarks/results"))                    # doctest: +SKIP
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine_policies import TOLD
from benchmarks.engine_scores import Line, Scored, compare

LINES, CURVES, PLOT, SUMMARY = "engine.csv", "engine_windows.csv", "engine.png", "engine.txt"
ENGINE = "engine"
FULL = ("full, depth 6", "full, depth 3")
SIMPLE = (
    *FULL,
    "static",
    "last 6 windows",
    "last 12 windows",
    "boost further",
    "on ADWIN",
    "on PSI",
)
Curve = tuple[str, int, int, str]  # stream, seed, delay, policy
Curves = dict[Curve, dict[int, Scored]]


def write(lines: Sequence[Line], curves: Curves, out: Path) -> str:
    """Write the files, and return the table. What they hold of earlier runs stays."""
    out.mkdir(parents=True, exist_ok=True)
    kept_lines, kept_curves = read(out)
    again = {(x.stream, x.seed, x.delay, x.policy) for x in lines}
    kept = [x for x in kept_lines if (x.stream, x.seed, x.delay, x.policy) not in again]
    lines, curves = [*kept, *lines], {**kept_curves, **curves}
    _write_lines(lines, out / LINES)
    _write_curves(curves, out / CURVES)
    text = table(lines, curves)
    (out / SUMMARY).write_text(text + "\n")
    draw(lines, out / PLOT)
    return text


def read(out: Path) -> tuple[list[Line], Curves]:
    """What was written before; nothing, where there is nothing."""
    if not (out / LINES).is_file():
        return [], {}
    kinds = {f.name: {"str": str, "int": int, "float": float}[str(f.type)] for f in fields(Line)}
    with (out / LINES).open(newline="") as file:
        lines = [
            Line(**{k: kinds[k](v or "nan") for k, v in row.items()})
            for row in csv.DictReader(file)
        ]
    curves: Curves = defaultdict(dict)
    with (out / CURVES).open(newline="") as file:
        for row in csv.DictReader(file):
            key = (row["stream"], int(row["seed"]), int(row["delay"]), row["policy"])
            losses, aucs = row["losses"].split(), (row.get("aucs") or "").split()
            curves[key] = {
                w: Scored(float(loss), float(auc.replace("-", "nan")))
                for w, (loss, auc) in enumerate(zip_longest(losses, aucs, fillvalue="-"))
                if loss != "-"
            }
    return lines, dict(curves)


def _write_lines(lines: Iterable[Line], path: Path) -> None:
    with path.open("w", newline="") as file:
        names = [f.name for f in fields(Line)]
        rows = csv.DictWriter(file, names, lineterminator="\n")
        rows.writeheader()
        for line in sorted(lines, key=lambda x: (x.stream, x.seed, x.delay, x.policy)):
            rows.writerow({k: _number(v) for k, v in asdict(line).items()})


def _write_curves(curves: Curves, path: Path) -> None:
    """One row a policy and stream, log loss and AUC of each window from the first; '-' not judged,
    or, for AUCs, one class alone. No AUCs: from a run that did not keep them."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["stream", "seed", "delay", "policy", "losses", "aucs"])
        for key, scored in sorted(curves.items()):
            every = [scored.get(w, Scored(math.nan, math.nan)) for w in range(max(scored) + 1)]
            aucs = [one.auc for one in every]
            known = not np.isnan(aucs).all()
            rows.writerow([*key, _spaced(o.loss for o in every), _spaced(aucs) if known else ""])


def _spaced(values: Iterable[float]) -> str:
    return " ".join("-" if math.isnan(v) else f"{v:.4f}" for v in values)


def _number(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.5g}"


def table(lines: Sequence[Line], curves: Curves) -> str:
    """For each stream and delay: the policies, best log loss first, and how the engine compares."""
    out: list[str] = []
    for stream, delay in sorted({(x.stream, x.delay) for x in lines}):
        found = means([x for x in lines if (x.stream, x.delay) == (stream, delay)])
        full = found.get(FULL[0], {}).get("cpu_seconds", math.nan)
        out += [
            f"\n{stream}, label delay {delay}",
            f"  {'':<21} {'AUC':>7} {'log loss':>8} {'Brier':>7} {'calibr.':>7} {'CPU s':>7} "
            f"{'of full':>7} {'models':>6} {'recover':>7} {'worst':>7}",
        ]
        for policy, m in sorted(found.items(), key=lambda kv: kv[1]["log_loss"]):
            out.append(
                f"  {policy:<21} {m['auc']:7.4f} {m['log_loss']:8.4f} {m['brier']:7.4f} "
                f"{m['calibration_error']:7.4f} {m['cpu_seconds']:7.1f} "
                f"{m['cpu_seconds'] / full:7.2f} {m['retrainings']:6.0f} "
                f"{m['recovery']:7.1f} {m['worst_window']:7.4f}"
            )
        out += _against(stream, delay, found, curves)
    return "\n".join(out).replace("nan", "  -")


def _against(
    stream: str, delay: int, found: Mapping[str, Mapping[str, float]], curves: Curves
) -> list[str]:
    """The engine against the better full retraining, and against the best simple policy."""
    if ENGINE not in found:
        return []
    out = []
    for title, names in (("better full", FULL), ("best simple", SIMPLE)):
        known = [n for n in names if n in found]
        if not known:
            continue
        best = min(known, key=lambda n: found[n]["log_loss"])
        ours, theirs = (_series(curves, stream, delay, n) for n in (ENGINE, best))
        mean, half = compare(ours, theirs)
        ranks = max(known, key=lambda n: found[n]["auc"])
        better = found[ENGINE]["auc"] - found[ranks]["auc"]
        pair = [_series(curves, stream, delay, n, "auc") for n in (ENGINE, ranks)]
        around = f" +- {compare(*pair)[1]:.4f}" if all(pair) else ""
        out.append(
            f"  engine - {title} ({best}): log loss {mean:+.4f} +- {half:.4f}; "
            f"AUC against the best of them ({ranks}) {better:+.4f}{around}"
        )
    return out + _parts(stream, delay, found, curves)


def _parts(
    stream: str, delay: int, found: Mapping[str, Mapping[str, float]], curves: Curves
) -> list[str]:
    """What the engine loses without each of its parts."""
    out = []
    for name in sorted(n for n in found if is_ablation(n)):
        mean, half = compare(*(_series(curves, stream, delay, n) for n in (name, ENGINE)))
        out.append(f"  {name} - engine: log loss {mean:+.4f} +- {half:.4f}")
    return out


def is_ablation(policy: str) -> bool:
    """Whether it is the engine without one of its parts."""
    return policy.startswith(ENGINE) and policy != ENGINE


def _series(
    curves: Curves, stream: str, delay: int, policy: str, score: str = "loss"
) -> list[float]:
    """Windows' scores, mean over the seeds, but for windows that have none."""
    chosen = [v for k, v in sorted(curves.items()) if (k[0], k[2], k[3]) == (stream, delay, policy)]
    every = [float(np.mean([getattr(c[w], score) for c in chosen])) for w in sorted(chosen[0])]
    return [value for value in every if not math.isnan(value)]


def means(lines: Sequence[Line]) -> dict[str, dict[str, float]]:
    """For each policy the mean of every column over the seeds."""
    grouped: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        grouped[line.policy].append(line)
    columns = [f.name for f in fields(Line) if f.name not in ("stream", "policy")]
    return {
        p: {c: float(np.mean([getattr(x, c) for x in same])) for c in columns}
        for p, same in grouped.items()
    }


def draw(lines: Sequence[Line], path: Path) -> None:
    """A panel a stream at the smallest delay: CPU across, log loss up; down and left is better."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    streams = sorted({x.stream for x in lines})
    across = min(4, len(streams))
    down = math.ceil(len(streams) / across)
    figure, axes = plt.subplots(
        down, across, figsize=(5.6 * across, 4.4 * down), layout="constrained", squeeze=False
    )
    for place, stream in zip(axes.flat, streams, strict=False):
        _panel(place, stream, [x for x in lines if x.stream == stream])
    for place in list(axes.flat)[len(streams) :]:
        place.axis("off")
    figure.suptitle(
        "Cost across, loss up: down and left is better\n"
        "(dotted: full retraining at depth 6, and a quarter of its cost)",
        fontsize=10,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _panel(place: Any, stream: str, lines: Sequence[Line]) -> None:
    delay = min(x.delay for x in lines)
    real = [x for x in lines if x.policy != TOLD and not is_ablation(x.policy)]
    found = means([x for x in real if x.delay == delay])
    full = found[FULL[0]]
    limit = 1.6 * max(found[n]["log_loss"] for n in FULL if n in found)
    ordered = sorted(found.items(), key=lambda kv: kv[1]["log_loss"])
    for rank, (policy, m) in enumerate(ordered):
        ours = policy == ENGINE
        x, y = m["cpu_seconds"] / full["cpu_seconds"], min(m["log_loss"], limit)
        place.scatter(
            x, y, s=90 if ours else 30, color="crimson" if ours else "steelblue", zorder=3
        )
        shown = policy if m["log_loss"] <= limit else f"{policy} ({m['log_loss']:.2f})"
        place.annotate(
            shown,
            (x, y),
            xytext=((-6, 6)[rank % 2 or ours], (-9, 3)[rank % 2 or ours]),
            ha="left" if rank % 2 or ours else "right",
            textcoords="offset points",
            fontsize=8 if ours else 6.5,
            color="crimson" if ours else "black",
            weight="bold" if ours else "normal",
        )
    place.axhline(full["log_loss"], color="grey", lw=0.7, ls=":")
    place.axvline(0.25, color="grey", lw=0.7, ls=":")
    place.set_xscale("log")
    place.set_title(f"{stream} (label delay {delay})", fontsize=10)
    place.set_xlabel("CPU, full retraining at depth 6 = 1", fontsize=8)
    place.set_ylabel("log loss", fontsize=8)
    place.tick_params(labelsize=7)
    place.margins(x=0.25, y=0.1)
