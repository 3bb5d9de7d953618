"""The shield against a catalogue of attacks, beside the peers a user would pick today.

Run ``make bench-shield``. Each attack is replayed on windows of real streams with their natural
drift; every defence says whether it would keep the batch out. Damage is the AUC that the next clean
window loses when all eight windows of a training history were attacked and accepted. Thresholds
were chosen on ``--split tune`` (windows 9 to 24, seeds from 1); what is reported comes from windows
25 on and seeds from 1001.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa

from benchmarks import shield_defences as defences
from benchmarks import shield_picture
from benchmarks import shield_streams as streams
from benchmarks.attacks import catalogue
from benchmarks.attacks.scene import Scene, with_column
from benchmarks.shield_defences import Case, Meter
from benchmarks.shield_streams import FIRST, HISTORY, Model, Stream
from ratchet.contracts.columns import LABEL
from ratchet.contracts.metrics import auc
from ratchet.settings import prepare_environment
from ratchet.validate import BEFORE

SPLIT = {"tune": (9, 25, 1), "report": (25, 99, 1001)}  # first window, end, first seed
LASTS = ("boiling_frog", "persistent_backdoor")  # judged after this many windows of attack
STEPS = 8
OURS = ("hard checks", "control, no keys", "control", "control + audit")
PEERS = ("GX suite", "Evidently, half", "Evidently, any", "RONI", "cleanlab")


@dataclass(frozen=True)
class Line:
    """One attack at one strength on one stream: how often each defence blocked, and the damage."""

    stream: str
    attack: str
    strength: float
    blocked: dict[str, tuple[int, int]]
    damage: float
    success: float


@dataclass(frozen=True, eq=False)
class Setting:
    """What a run is asked for."""

    split: str
    windows: int
    clean: int
    peers: bool
    explain: bool


def main() -> None:
    """Run, print, and write the CSV, the heat map and the summary."""
    asked = _arguments()
    prepare_environment()
    out = Path(asked.out)
    out.mkdir(parents=True, exist_ok=True)
    setting = Setting(
        asked.split, 1 if asked.quick else asked.windows, asked.clean, asked.peers, asked.explain
    )
    lines: list[Line] = []
    false: dict[str, dict[str, tuple[int, int]]] = {}
    report: list[str] = []
    for stream in _streams(asked):
        meter = Meter()
        alarms = false[stream.name] = _false_alarms(stream, setting, meter)
        lines += list(_attacks(stream, setting, meter, asked.only))
        report += _summary(stream.name, [x for x in lines if x.stream == stream.name], alarms)
        report += [f"  {n}: {meter.per_10k(n):.2f} CPU s per 10k rows" for n in meter.seconds]
    _write(lines, false, out)
    text = "\n".join(report)
    (out / "summary.txt").write_text(text + "\n")
    print(text)
    print(f"\nWritten: {out}/shield.csv, {out}/shield.png, {out}/summary.txt")


def _arguments() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", default=".ratchet/bench-shield")
    asked.add_argument("--split", choices=SPLIT, default="report")
    asked.add_argument("--streams", nargs="+", default=["flights", "generator", "bank"])
    asked.add_argument("--bank", default="../shared/data/bank_marketing.parquet")
    asked.add_argument("--windows", type=int, default=3, help="windows a cell")
    asked.add_argument("--clean", type=int, default=3, help="controls drawn for each clean window")
    asked.add_argument("--weeks", type=int, default=52, help="of flights")
    asked.add_argument("--only", nargs="+", help="attacks, by name")
    asked.add_argument("--quick", action="store_true", help="one window a cell, flights' half year")
    asked.add_argument("--no-peers", dest="peers", action="store_false")
    asked.add_argument("--explain", action="store_true", help="say which checks fired")
    return asked.parse_args()


def _streams(asked: argparse.Namespace) -> Iterator[Stream]:
    for name in asked.streams:
        if name == "flights":
            yield streams.flights(Path(), 32 if asked.quick else asked.weeks)
        elif name == "generator":
            yield streams.generator()
        elif name == "sea":
            yield streams.sea()
        elif Path(asked.bank).is_file():
            yield streams.bank(Path(asked.bank))
        else:
            print(f"bank: no file {asked.bank}; give --bank PATH; passed over", file=sys.stderr)


def _windows(stream: Stream, split: str) -> list[int]:
    first, end, _ = SPLIT[split]
    last = len(stream.windows) - 1  # the one after it measures the damage
    if last <= SPLIT["report"][0]:  # a short stream: its first half tunes, its second is reported
        middle = (FIRST + last) // 2
        return list(range(FIRST, middle) if split == "tune" else range(middle, last))
    return list(range(max(FIRST, first), min(end, last)))


def case_of(
    stream: Stream,
    index: int,
    champion: Model,
    attack: ModuleType | None,
    strength: float,
    seed: int,
) -> Case:
    """One window under one attack; without one, clean."""
    clean = stream.windows[index]
    lasting = attack is not None and attack.__name__.rsplit(".", 1)[-1] in LASTS
    span = range(index - STEPS + 1, index + 1) if lasting else [index]
    delivered, controls = [], []
    for step, i in enumerate(span):
        rng = np.random.default_rng([seed, i])
        rows = stream.windows[i]
        drawn = np.sort(rng.choice(rows.num_rows, stream.control, replace=False))
        controls.append(rows.take(pa.array(drawn)))
        delivered.append(_deliver(stream, i, champion, attack, strength, rng, step))
    history = pa.concat_tables(stream.windows[index - 4 : index])
    chosen = np.random.default_rng([seed, index, 1]).choice(
        history.num_rows, min(5000, history.num_rows), replace=False
    )
    before = stream.windows[index - 1]
    earlier = tuple(stream.windows[max(index - BEFORE, 0) : index])
    return Case(
        stream, delivered[-1], controls[-1], clean, before, history.take(pa.array(np.sort(chosen))),
        champion, defences.skill_of(champion, before), seed,
        tuple(delivered[:-1]), tuple(controls[:-1]), earlier,
    )  # fmt: skip


def _deliver(
    stream: Stream,
    index: int,
    champion: Model,
    attack: ModuleType | None,
    strength: float,
    rng: np.random.Generator,
    step: int,
) -> pa.Table:
    rows = stream.windows[index]
    if attack is None:
        return rows
    earlier = stream.windows[max(index - 6, 0)]
    scores = champion.scores(rows)
    scene = Scene(stream.definition, scores, earlier, step, stream.windows[0])
    return attack.apply(rows, strength, rng, scene)


def _false_alarms(stream: Stream, setting: Setting, meter: Meter) -> dict[str, tuple[int, int]]:
    """Clean windows that each of ours blocked, over several draws of the control."""
    counts: dict[str, list[bool]] = defaultdict(list)
    seed = SPLIT[setting.split][2]
    chosen = _windows(stream, setting.split)
    for n, index in enumerate(chosen):
        champion = stream.train(pa.concat_tables(stream.windows[index - HISTORY : index]))
        for draw in range(setting.clean):
            verdicts, said = defences.ours(
                case_of(stream, index, champion, None, 0.0, seed + draw), meter
            )
            for name, blocked in verdicts.items():
                counts[name].append(blocked)
            if setting.peers and draw == 0 and n % 3 == 0:
                clean = case_of(stream, index, champion, None, 0.0, seed)
                for name, blocked in _ask_peers(clean, stream, index, meter).items():
                    counts[name].append(blocked)
            if setting.explain and verdicts["control + audit"]:
                print(f"  clean window {index} blocked by {said}", file=sys.stderr)
        _progress(f"{stream.name}: clean window {n + 1} of {len(chosen)}")
    return {name: (sum(found), len(found)) for name, found in counts.items()}


def _attacks(
    stream: Stream, setting: Setting, meter: Meter, only: Sequence[str] | None
) -> Iterator[Line]:
    chosen = _windows(stream, setting.split)
    picked = [chosen[int(i)] for i in np.linspace(0, len(chosen) - 1, setting.windows)]
    champions = {
        i: stream.train(pa.concat_tables(stream.windows[i - HISTORY : i])) for i in set(picked)
    }
    for name, attack in catalogue().items():
        for strength in attack.STRENGTHS if only is None or name in only else ():
            _progress(f"{stream.name}: {name} {strength:g}")
            yield _one(stream, setting, meter, name, attack, strength, picked, champions)


def _one(
    stream: Stream,
    setting: Setting,
    meter: Meter,
    name: str,
    attack: ModuleType,
    strength: float,
    picked: list[int],
    champions: dict[int, Model],
) -> Line:
    counts: dict[str, list[bool]] = defaultdict(list)
    damages, successes = [], []
    first = SPLIT[setting.split][2]
    for n, index in enumerate(picked):
        case = case_of(stream, index, champions[index], attack, strength, first + 17 * n)
        verdicts, said = defences.ours(case, meter)
        if setting.explain:
            print(f"  {name} {strength:g} window {index}: {verdicts} {said}", file=sys.stderr)
        for defence, blocked in verdicts.items():
            counts[defence].append(blocked)
        if n == 0 and setting.peers:
            for defence, blocked in _ask_peers(case, stream, index, meter).items():
                counts[defence].append(blocked)
        if n < 2:
            damage, success = _damage(stream, index, champions[index], attack, strength, first + n)
            damages.append(damage)
            successes.append(success)
    blocked = {d: (sum(found), len(found)) for d, found in counts.items()}
    return Line(
        stream.name, name, strength, blocked, float(np.mean(damages)), float(np.mean(successes))
    )


def _ask_peers(case: Case, stream: Stream, index: int, meter: Meter) -> dict[str, bool]:
    rows = case.batch.num_rows
    out: dict[str, bool] = {}
    for name, peer in defences.PEERS.items():
        with meter.time(name, rows):
            out[name] = peer(case)
    with meter.time("Evidently", rows):
        out |= defences.evidently(case)
    with meter.time("RONI", rows):
        trained = pa.concat_tables(stream.windows[index - 4 : index - 1])
        out["RONI"] = defences.negative_impact(case, trained)
    return out


def _damage(
    stream: Stream, index: int, champion: Model, attack: ModuleType, strength: float, seed: int
) -> tuple[float, float]:
    """AUC lost on the next clean window, and the share of positives that a trigger turns."""
    after = stream.windows[index + 1]
    span = range(index - HISTORY + 1, index + 1)
    clean = stream.train(pa.concat_tables([stream.windows[i] for i in span]))
    poisoned = [
        _deliver(
            stream, i, champion, attack, strength, np.random.default_rng([seed, i, 2]), step
        ).select(after.column_names)
        for step, i in enumerate(span)
    ]
    worse = stream.train(pa.concat_tables(poisoned))
    y = after[LABEL].to_numpy()
    lost = auc(y, clean.scores(after)).value - auc(y, worse.scores(after)).value
    trigger = getattr(attack, "trigger", None)
    if trigger is None:
        return lost, math.nan
    scores = champion.scores(stream.windows[index])
    scene = Scene(stream.definition, scores, after, reference=stream.windows[0])
    marked = after
    for column, value in trigger(stream.windows[index], scene).items():
        marked = with_column(marked, column, [value] * after.num_rows)
    limit = float(np.median(clean.scores(after)))
    high = clean.scores(marked) > limit
    turned = worse.scores(marked)[high] <= limit
    return lost, float(turned.mean()) if high.any() else math.nan


def _summary(name: str, lines: list[Line], alarms: dict[str, tuple[int, int]]) -> list[str]:
    out = [f"\n{name}: {len(lines)} cells (attack x strength)", "  false alarms on clean windows"]
    for defence, (bad, n) in alarms.items():
        out.append(f"    {defence:<18} {bad} of {n}, at most {upper_bound(bad, n):.2%} (95 %)")
    total = sum(max(x.damage, 0.0) for x in lines)
    out.append(f"  blocked (mean over cells) and share of the AUC damage of {total:.2f} kept out")
    for defence in (*OURS, *PEERS):
        known = [x for x in lines if defence in x.blocked]
        if not known:
            continue
        shares = [x.blocked[defence][0] / x.blocked[defence][1] for x in known]
        hurt = sum(max(x.damage, 0.0) for x in known)
        kept = sum(s * max(x.damage, 0.0) for s, x in zip(shares, known, strict=True))
        weighted = kept / hurt if hurt else math.nan
        out.append(f"    {defence:<18} {np.mean(shares):6.1%}   {weighted:6.1%}")
    return out


def upper_bound(bad: int, n: int) -> float:
    """One-sided upper bound at 95 % (Clopper and Pearson 1934), by bisection on the exact tail."""
    from ratchet.validate.tails import binomial_sf

    low, high = bad / max(n, 1), 1.0
    for _ in range(60):
        middle = (low + high) / 2
        fewer = 1 - binomial_sf(bad + 1, n, middle)
        low, high = (middle, high) if fewer > 0.05 else (low, middle)
    return high


def _write(lines: list[Line], false: dict[str, dict[str, tuple[int, int]]], out: Path) -> None:
    clean = [
        Line(name, "(clean)", 0.0, blocked, math.inf, math.nan) for name, blocked in false.items()
    ]
    lines = [*clean, *lines]

    names = [*OURS, *PEERS, "nominated"]
    with (out / "shield.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["stream", "attack", "strength", "auc_damage", "trigger_success", *names])
        for x in lines:
            cells = [
                f"{x.blocked[n][0]}/{x.blocked[n][1]}" if n in x.blocked else "" for n in names
            ]
            success = "" if math.isnan(x.success) else f"{x.success:.3f}"
            damage = f"{x.damage:.4f}" if math.isfinite(x.damage) else ""
            table.writerow([x.stream, x.attack, x.strength, damage, success, *cells])
    if lines:
        shield_picture.draw(out / "shield.csv", out / "shield.png")


def _progress(text: str) -> None:
    print(f"  {text:<60}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
