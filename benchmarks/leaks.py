"""How many leaks of the label does ``gate.shortcuts`` find, and what does one that passes cost?

    make bench-leaks              # half an hour on one core

Through the whole loop, window by window: flights (every third row) and one of River's generators
get one more column, which from a window on holds what the outcome wrote; before, and when a model
serves, it says nothing. *New*: all rows have it, known before their label by what they say of
themselves; what says nothing is another row's value. *Late*: a share of each window's rows come
only after their labels, as from an export that was made afterwards, and these alone have it; in all
others it is missing; *from the start* if the first window has it already. A candidate in doubt
waits for a person, and nobody answers. On flights a real column leaks too, ``dep_delay``, the delay
at departure of a flight whose delay on arrival is to be told.
"""

from __future__ import annotations

import argparse
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import engine_streams as streams
from benchmarks.moved import table_of, workspace_of
from ratchet.contracts.evidence import Verdict
from ratchet.contracts.metrics import row_losses
from ratchet.contracts.score import predict
from ratchet.settings import prepare_environment, quiet_logs
from tests.streams import quick

if TYPE_CHECKING:
    from ratchet.contracts.lineage import Decision
    from tasks.workspace import Workspace

Floats = NDArray[np.float64]

CHECK, LEAK = "gate.shortcut", "leak"
WINDOWS, FROM = 14, 6  # windows of a life; the first in which the column leaks
THIN = 3  # of the flights every third counts
LAG = 3  # windows that a late row comes after the others: its label is known by then
SEED = 4001
# Its own AUC: the label with normal noise of this standard deviation, labels being 1 apart. Of the
# last, none, the column is noise alone and any alarm is false.
STRENGTHS = {"1": 0.0, ".95": 0.43, ".5": math.inf}
HEAD = (
    "| stream | its AUC | comes | named | blocked | in doubt | nothing else against them | "
    "blocked by others | promoted without, with | loss without, with | clean |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


class Way(NamedTuple):
    """How a leak comes: with a share of late rows, or with all, if 0; since which window."""

    name: str
    late: float = 0.0
    since: int = FROM


WAYS = (
    Way("new"),
    Way("late, 60 %", 0.6),
    Way("late, 30 %", 0.3),
    Way("late, 60 %, from the start", 0.6, 0),
)


@dataclass(frozen=True)
class Life:
    """What became of one pipeline.

    Attributes:
        said: what the check said of the candidates of which it names the leak: BLOCK, doubt, WARN
            or PASS.
        asked: candidates that wait for a person: nothing but a doubt was against them.
        others: of those named, how many another check blocked.
        promoted: candidates since the leak began.
        served: log loss of the last champion on the last window, scored as in service; NaN without.
    """

    said: Sequence[str]
    asked: int
    others: int
    promoted: int
    served: float


def main() -> None:
    """Print a line a stream, strength and way."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--streams", nargs="*", default=["flights", "hyperplane"])
    given = asked.parse_args()
    prepare_environment()
    quiet_logs()
    print(HEAD, flush=True)
    for name in given.streams:
        stream, real = _stream(name)
        nothing = [np.zeros(len(w.labels)) for w in stream.windows]
        clean = play(stream, nothing, WAYS[0], shortcuts=False).served
        for strength, column in _columns(stream, real):
            for way in WAYS:
                lives = [play(stream, column, way, shortcuts=on) for on in (False, True)]
                print(_row(name, strength, way, lives, clean), flush=True)


def _stream(name: str) -> tuple[streams.Stream, Sequence[Floats] | None]:
    """The first windows, and for flights the delay at departure of each row."""
    if name == "flights":
        return _flights()
    found = streams.STREAMS[name](seed=SEED)
    return replace(found, windows=found.windows[:WINDOWS]), None


def _flights() -> tuple[streams.Stream, list[Floats]]:
    from benchmarks.shield_streams import flights as tables
    from ratchet.adapters import flights_archive as archive
    from ratchet.contracts.columns import KEY

    weeks = tables(Path(), WINDOWS)
    options = arrow_csv.ConvertOptions(
        include_columns=["time_hour", "carrier", "flight", "dep_delay"], strings_can_be_null=True
    )
    with zipfile.ZipFile(archive._data_directory() / "flights.csv.zip") as packed:
        raw = arrow_csv.read_csv(packed.open("flights.csv"), convert_options=options)
    hours = pc.strftime(raw["time_hour"], format="%Y-%m-%dT%H")
    ids = pc.binary_join_element_wise(
        hours, raw["carrier"], pc.cast(raw["flight"], pa.string()), "-"
    )
    found = []
    for week in weeks.windows:
        where = pc.index_in(week[KEY], value_set=ids.combine_chunks())
        delays = pc.cast(raw["dep_delay"].combine_chunks().take(where), pa.float64())
        found.append(delays.to_numpy(zero_copy_only=False)[::THIN])
    stream = streams._of_tables(weeks, 0)
    thin = [streams.Rows(w.matrix[::THIN], w.labels[::THIN]) for w in stream.windows]
    return replace(stream, windows=thin), found


def _columns(
    stream: streams.Stream, real: Sequence[Floats] | None
) -> Iterator[tuple[str, list[Floats]]]:
    for name, noise in STRENGTHS.items():
        random = np.random.default_rng([SEED, int(float(name) * 100)])
        drawn = [random.normal(size=len(w.labels)) for w in stream.windows]
        if math.isinf(noise):
            yield name, drawn
        else:
            both = zip(stream.windows, drawn, strict=True)
            yield name, [w.labels + noise * n for w, n in both]
    if real is not None:
        yield "dep_delay", list(real)


def play(stream: streams.Stream, leak: Sequence[Floats], way: Way, *, shortcuts: bool) -> Life:
    """One life, a window after the other."""
    from flows.retrain import run_windows
    from tasks import windows

    with TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        parts = list(_landed(stream, leak, way))
        space = _workspace(Path(scratch), pa.concat_tables([p.whole for p in parts[:3]]), shortcuts)
        made: list[Decision] = []
        for index, part in enumerate(parts):
            _put(space, f"features/{index:03d}-a", part.early.drop(["y"]))
            if index:
                known = parts[index - 1].whole
                _put(space, f"labels/{index:03d}", known.select(["id", "t", "y"]))
            if index >= LAG and way.late:
                _put(space, f"features/{index:03d}-b", parts[index - LAG].late.drop(["y"]))
            made += run_windows(space, windows.undecided(space, None, None))
        return _life(space, [d for d in made if d.window_index >= way.since], parts[-1].noise)


class Landed(NamedTuple):
    """A window's rows: all, those that come before their labels, those that come with them, and all
    as they are scored."""

    whole: pa.Table
    early: pa.Table
    late: pa.Table
    noise: pa.Table


def _landed(stream: streams.Stream, leak: Sequence[Floats], way: Way) -> Iterator[Landed]:
    table = table_of(stream, windows=len(stream.windows))
    start = 0
    for index, window in enumerate(stream.windows):
        n = len(window.labels)
        rng = np.random.default_rng([SEED, index])
        rows, start = table.slice(start, n), start + n
        absent = rng.permutation(leak[index])
        late = rng.random(n) < way.late
        values = leak[index] if index >= way.since else absent
        if way.late:
            absent = np.full(n, np.nan)
            values = np.where(late, values, absent)
        noise, whole = (
            rows.append_column(LEAK, pa.array(v, from_pandas=True)) for v in (absent, values)
        )
        yield Landed(whole, whole.filter(pa.array(~late)), whole.filter(pa.array(late)), noise)


def _workspace(scratch: Path, rows: pa.Table, shortcuts: bool) -> Workspace:
    """What ``ratchet init`` makes of the first windows, features and labels in files of their own;
    without rules of the column, which could stop it for other reasons."""
    space = workspace_of(scratch, rows)
    landing = scratch / "landing"
    (landing / "stream.parquet").unlink()
    d = space.definition
    source = d.source.model_copy(update={"features": "features/**", "labels": "labels/**"})
    gate = d.gate.model_copy(update={"shortcuts": shortcuts})
    definition = d.model_copy(update={"source": source, "gate": gate})
    rules = [e for e in space.suite["expectations"] if LEAK not in str(e["kwargs"])]
    return quick(
        replace(space, definition=definition, suite={**space.suite, "expectations": rules})
    )


def _put(space: Workspace, name: str, table: pa.Table) -> None:
    path = Path(space.definition.source.landing) / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _life(space: Workspace, made: Sequence[Decision], noise: pa.Table) -> Life:
    said, others = [], 0
    for decision in made:
        found = [e for e in decision.evidence if e.check == CHECK]
        if not found or found[0].details.get("feature") != LEAK:
            continue
        said.append("doubt" if found[0].details["doubt"] else str(found[0].verdict))
        others += any(
            e.verdict is Verdict.BLOCK and e.check.startswith("gate.") and e.check != CHECK
            for e in decision.evidence
        )
    promoted = sum(d.outcome == "promoted" for d in made)
    asked = sum(d.awaits_approval for d in made)
    if (champion := made[-1].champion_after) is None:
        return Life(said, asked, others, promoted, math.nan)
    scores = predict(space.registry.load(space.name, champion), noise)
    lost = row_losses("binary", noise["y"].to_numpy().astype(float), scores)
    return Life(said, asked, others, promoted, float(lost.mean()))


def _row(name: str, strength: str, way: Way, lives: Sequence[Life], clean: float) -> str:
    without, watched = lives
    counts = Counter(watched.said)
    cells = [
        name,
        strength,
        way.name,
        len(watched.said),
        counts["BLOCK"],
        counts["doubt"],
        watched.asked,
        watched.others,
        f"{without.promoted}, {watched.promoted}",
        f"{without.served:.3f}, {watched.served:.3f}",
        f"{clean:.3f}",
    ]
    return "| " + " | ".join(str(c) for c in cells) + " |"


if __name__ == "__main__":
    main()
