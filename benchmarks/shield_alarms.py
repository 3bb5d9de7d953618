"""How often clean data are blocked: a thousand clean batches of five streams with their drift.

Run ``make bench-shield-alarms`` (half an hour on 2 cores). Flights and bank are judged with several
draws of the trusted rows a window, because there are only so many weeks; River's three streams give
each window once, from seeds that no threshold was chosen on. Each verdict is written as it is made,
so that a run which is cut short still says something.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from benchmarks import shield_defences as defences
from benchmarks import shield_long, shield_streams
from benchmarks.shield import OURS, case_of, upper_bound
from benchmarks.shield_defences import Meter
from benchmarks.shield_streams import FIRST, HISTORY, Stream
from ratchet.settings import prepare_environment

COLUMNS = ("stream", "window", "draw", *OURS, "nominated", "said")


@dataclass(frozen=True)
class Part:
    """One stream, the first window that is judged, and the draws of trusted rows a window."""

    make: Callable[[], Stream]
    first: int
    draws: int


def main() -> None:
    """Judge, write each verdict to ``alarms.csv``, and print the counts with their bounds."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", default=".ratchet/bench-shield-alarms")
    asked.add_argument("--bank", default="../shared/data/bank_marketing.parquet")
    asked.add_argument("--generated", type=int, default=275, help="windows of each generator")
    asked.add_argument("--streams", nargs="+", help="by name; left out: all five")
    asked.add_argument("--seed", type=int, default=4001, help="of draws and of what River makes")
    given = asked.parse_args()
    prepare_environment()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    parts = _parts(Path(given.bank), given.generated, 1000 * (given.seed - 4001))
    chosen = given.streams or list(parts)
    lines: list[dict[str, object]] = []
    with (out / "alarms.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for name in chosen:
            for line in _judge(parts[name], given.seed):
                table.writerow(line)
                file.flush()
                lines.append(line)
    text = "\n".join(_summary(lines))
    (out / "summary.txt").write_text(text + "\n")
    print(text)


def _parts(bank: Path, generated: int, later: int) -> dict[str, Part]:
    found = {
        "flights": Part(lambda: shield_streams.flights(Path(), 52), 25, 4),
        "bank": Part(lambda: replace(shield_streams.bank(bank, batches=2), control=205), FIRST, 5),
        "agrawal": Part(lambda: shield_long.agrawal(generated, 500_000 + later), FIRST, 1),
        "sea": Part(lambda: shield_long.sea(generated, 600_000 + later), FIRST, 1),
        "hyperplane": Part(lambda: shield_long.hyperplane(generated, 700_000 + later), FIRST, 1),
    }
    if not bank.is_file():
        print(f"bank: no file {bank}; give --bank PATH; passed over", file=sys.stderr)
        del found["bank"]
    return found


def _judge(part: Part, seed: int) -> Iterator[dict[str, object]]:
    stream, meter = part.make(), Meter()
    for index in range(part.first, len(stream.windows)):
        champion = stream.train(pa.concat_tables(stream.windows[index - HISTORY : index]))
        for draw in range(part.draws):
            case = case_of(stream, index, champion, None, 0.0, seed + draw)
            verdicts, said = defences.ours(case, meter)
            line = {"stream": stream.name, "window": index, "draw": draw, "said": " ".join(said)}
            yield {**line, **{name: int(found) for name, found in verdicts.items()}}
        print(f"{stream.name}: window {index + 1} of {len(stream.windows)}", file=sys.stderr)


def _summary(lines: list[dict[str, object]]) -> list[str]:
    out = []
    names = list(dict.fromkeys(str(line["stream"]) for line in lines))
    for name in [*names, "all"]:
        mine = [line for line in lines if name in (line["stream"], "all")]
        windows = len({(line["stream"], line["window"]) for line in mine})
        out.append(f"{name}: {len(mine)} clean batches of {windows} windows")
        for defence in (*OURS, "nominated"):
            bad = sum(int(str(line[defence])) for line in mine)
            bound = upper_bound(bad, len(mine))
            out.append(f"    {defence:<18} {bad} of {len(mine)}, at most {bound:.3%} (95 %)")
    return out


if __name__ == "__main__":
    main()
