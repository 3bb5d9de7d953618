"""Ways of keeping a model fresh, side by side: test, then train, over streams that drift.

Run ``make bench-engine``. Every policy sees the same windows with the same label delay; a window
is scored before anything of it is learned. Streams that were tuned on are run with ``--tune`` alone
and are not reported. What is not run again stays in the files, so a run can be cut in pieces:
``python -m benchmarks.engine --streams bank --delays 0 2``. ``--tables FILE.parquet --out FOLDER``
plays streams of one's own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import engine_page as page
from benchmarks import engine_peers as peers
from benchmarks import engine_scores as scores
from benchmarks import engine_streams as streams
from benchmarks.engine_fits import Fits, warm_up
from benchmarks.engine_mixture import ABLATIONS, engine
from benchmarks.engine_policies import POLICIES, TOLD, told
from ratchet.settings import prepare_environment

SEEDS = (1001, 1002)
QUICK = ("bank", "sine", "hyperplane")


def main() -> None:
    """Run, print, and write the CSVs, the picture and the table."""
    asked = _arguments()
    prepare_environment()
    warm_up()
    out, text = Path(asked.out), ""
    for stream in _streams(asked):
        lines, curves = _play(stream, tuple(asked.delays), asked.policies)
        text = page.write(lines, curves, out)
    print(text)
    print(f"\nWritten: {', '.join(str(out / n) for n in (page.LINES, page.CURVES, page.PLOT))}")


def _arguments() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", default="benchmarks/results")
    asked.add_argument("--streams", nargs="+", choices=streams.STREAMS)
    asked.add_argument("--tables", nargs="+", default=[], help="Parquet files instead; y: 0 or 1")
    asked.add_argument("--bank", default="../shared/data/bank_marketing.parquet")
    asked.add_argument("--delays", nargs="+", type=int, default=[0, 2, 5], help="windows")
    asked.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    every = [*POLICIES, TOLD, page.ENGINE, *ABLATIONS, *peers.NAMES]
    asked.add_argument("--policies", nargs="+", choices=every)
    asked.add_argument("--weeks", type=int, default=52, help="of flights")
    asked.add_argument("--quick", action="store_true", help="three streams, one seed, no river")
    asked.add_argument("--no-peers", dest="peers", action="store_false", help="without river's")
    asked.add_argument("--tune", action="store_true", help="the streams that were tuned on")
    found = asked.parse_args()
    if found.quick:
        found.seeds, found.delays = found.seeds[:1], [0, 2]
    river = peers.NAMES if found.peers and not found.quick else ()
    found.policies = found.policies or [*POLICIES, TOLD, page.ENGINE, *ABLATIONS, *river]
    reported = [n for n in streams.STREAMS if n not in streams.TUNE]
    found.streams = found.streams or list(
        streams.TUNE if found.tune else QUICK if found.quick else reported
    )
    return found


def _streams(asked: argparse.Namespace) -> Iterator[streams.Stream]:
    for path in asked.tables:
        yield streams.table(Path(path))
    for name in asked.streams if not asked.tables else ():
        if name == "flights":
            yield streams.flights(weeks=asked.weeks)
        elif name == "bank" and not Path(asked.bank).is_file():
            print(f"bank: no file {asked.bank}; give --bank PATH; passed over", file=sys.stderr)
        elif name == "bank":
            yield streams.bank(Path(asked.bank))
        else:
            for seed in asked.seeds:
                yield streams.STREAMS[name](seed=seed)


def _play(
    stream: streams.Stream, delays: tuple[int, ...], policies: Sequence[str]
) -> tuple[list[scores.Line], page.Curves]:
    fits, lines, curves = Fits(stream), [], {}

    def keep(delay: int, policy: str, play: scores.Play) -> None:
        line, losses = scores.judge(stream, delay, policy, play)
        lines.append(line)
        curves[stream.name, stream.seed, delay, policy] = losses

    ours = {**POLICIES, TOLD: told, page.ENGINE: engine(), **ABLATIONS}
    for name in policies:
        if name == TOLD and not stream.drifts:
            continue
        _progress(f"{stream.name} {stream.seed}: {name}")
        played = None if name in ours else peers.play(stream, name, delays)
        for delay in delays:
            if played:
                keep(delay, name, scores.of_peer(played, delay))
            else:
                keep(delay, name, scores.run(fits, ours[name], delay))
    return lines, curves


def _progress(text: str) -> None:
    print(f"  {text:<60}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
