"""A boiling frog through the whole loop: labels turned around, 2 % at first, 20 % ten weeks later.

    make bench-frog

The same weeks of flights run three times: clean, attacked with the shield, and attacked on a
pipeline without trusted rows. As many labels are turned up as down, so the label rate stays. Each
week's serving champion is scored on the *true* labels of the week after it; what counts is the mean
AUC from the first attacked week on. Attack: :mod:`benchmarks.attacks.boiling_frog`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ratchet.settings import Settings, prepare_environment, quiet_logs

if TYPE_CHECKING:
    import pyarrow as pa

    from tasks.workspace import Workspace

FIRST, STEPS = 8, 10  # the first attacked week of events, and how many weeks it grows
LOW, HIGH = 0.02, 0.2  # share of labels turned around in the first and the last of them
RUNS = ("clean", "attacked, shield", "attacked, no trusted rows")


@dataclass(frozen=True)
class Week:
    """One decided week of one run; ``auc`` is the champion's on the next week's true labels."""

    run: str
    week: str
    outcome: str
    labels_kept_out: int
    champion: int | None
    auc: float | None
    because: str


def main() -> None:
    """Run all three, print the table, write the CSV."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--weeks", type=int, default=24)
    asked.add_argument("--seed", type=int, default=1001)
    asked.add_argument("--out", default=".ratchet/bench-frog")
    given = asked.parse_args()
    prepare_environment()
    quiet_logs()
    lines: list[Week] = []
    for run in RUNS:
        with TemporaryDirectory(prefix="ratchet-frog-") as scratch:
            for line in _weeks(Path(scratch), run, given.weeks, given.seed):
                lines.append(line)
                print(f"  {run}: {line.week} {line.outcome} {_shown(line.auc)} {line.because[:90]}")
    _report(lines, Path(given.out))


def _weeks(scratch: Path, run: str, weeks: int, seed: int) -> Iterator[Week]:
    from flows.retrain import one_cycle
    from ratchet.adapters import nycflights

    truth = nycflights.weeks(weeks + 1)
    landing = scratch / "landing"
    nycflights.land(landing, damage=False, weeks=weeks)
    if run != RUNS[0]:
        _attack(landing, truth, seed)
    space = _workspace(scratch, landing, trusted=run != RUNS[2])
    for index in range(weeks):
        made = one_cycle(space, space.calendar.window(index))
        serving = space.registry.alias(space.name, "champion")
        champion = None if serving is None else serving.version
        yield Week(
            run=run,
            week=made.window,
            outcome=made.outcome,
            labels_kept_out=made.labels_quarantined,
            champion=champion,
            auc=None if champion is None else _auc(space, champion, truth[index + 1]),
            because=_because(made.evidence),
        )


def _attack(landing: Path, truth: list[Any], seed: int) -> None:
    """Turn labels around in the files of ten weeks; they arrive a week after the events."""
    import numpy as np
    import pyarrow.parquet as pq

    from ratchet.adapters import nycflights

    for step in range(STEPS):
        path = landing / "labels" / f"{truth[FIRST + step + 1].name}.parquet"
        if not path.exists():
            continue
        share = LOW + (HIGH - LOW) * step / (STEPS - 1)
        rng = np.random.default_rng([seed, step])
        path.write_bytes(nycflights.to_bytes(_flipped(pq.read_table(path), share, rng)))


def _flipped(labels: pa.Table, share: float, rng: Any) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    late = labels["late"].to_numpy().copy()
    count = int(share * len(late) / 2)
    for side in (0, 1):
        mine = np.flatnonzero(labels["late"].to_numpy() == side)
        late[rng.choice(mine, min(count, len(mine)), replace=False)] = 1 - side
    place = labels.column_names.index("late")
    return labels.set_column(place, "late", pa.array(late, labels.schema.field("late").type))


def _workspace(scratch: Path, landing: Path, *, trusted: bool) -> Workspace:
    from ratchet.adapters.local_registry import LocalRegistry
    from tasks.workspace import open_workspace

    flights = open_workspace("flights")
    source = flights.definition.source.model_copy(update={"landing": str(landing)})
    update: dict[str, Any] = {"source": source}
    if not trusted:
        update["trusted"] = None
    (scratch / "state").mkdir()
    space = replace(
        flights,
        definition=flights.definition.model_copy(update=update),
        settings=Settings(root=str(scratch / "tables"), state=scratch / "state"),
    )
    # MLflow and Evidently cost most of the time and decide nothing here.
    space.__dict__["registry"] = LocalRegistry(scratch / "state" / "registry")
    space.__dict__["reporter"] = NoReport()
    return space


class NoReport:
    """Draws an empty page."""

    def draw(self, *_: Any) -> Any:
        """An empty report."""
        from ratchet.contracts.seams import Report

        return Report("", "{}")


def _auc(space: Workspace, version: int, week: Any) -> float:
    import pyarrow as pa
    from sklearn.metrics import roc_auc_score

    from ratchet.contracts.score import predict

    kinds = {"number": pa.float64(), "category": pa.string()}
    rows = week.features.join(
        week.labels.select(["flight_id", "late"]), "flight_id", join_type="inner"
    )
    features = space.definition.features
    table = pa.table({name: rows[name].cast(kinds[kind]) for name, kind in features.items()})
    scores = predict(space.registry.load(space.name, version), table)
    return float(roc_auc_score(rows["late"].to_numpy(), scores))


def _because(evidence: Any) -> str:
    shield = ("control", "audit", "account", "labels")
    found = [e for e in evidence if e.check.startswith(shield) and e.verdict.value != "PASS"]
    worst = max(found, key=lambda e: e.verdict.severity, default=None)
    return "" if worst is None else f"{worst.check}: {worst.arithmetic}"


def _report(lines: list[Week], out: Path) -> None:
    import numpy as np

    out.mkdir(parents=True, exist_ok=True)
    with (out / "frog.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(list(Week.__dataclass_fields__))
        table.writerows([list(vars(line).values()) for line in lines])
    means = {}
    for run in RUNS:
        mine = [line for line in lines if line.run == run][FIRST:]
        means[run] = float(np.mean([line.auc for line in mine if line.auc is not None]))
        blocked = [line.week for line in mine if line.labels_kept_out]
        lost = means[RUNS[0]] - means[run]
        print(
            f"{run}: mean AUC {means[run]:.4f}, lost {lost:+.4f}; labels kept out in "
            f"{len(blocked)} weeks, first {blocked[0] if blocked else 'never'}"
        )
    print(f"Written: {out}/frog.csv")


def _shown(auc: float | None) -> str:
    return "no champion" if auc is None else f"AUC {auc:.4f}"


if __name__ == "__main__":
    main()
