"""What a number of photos would take, from measured rates: core hours, hours, disk, memory, and money for your price.

    python benchmarks/plan_scale.py --photos 1e9 --nodes 100 --cores 32 --memory 128 --price 1.5
                                    [--models 1] [--epochs 15] [--width 1280] [--rate audit=300 ...]

Per photo, seconds of one core (s) times photos, over nodes x cores, is the time of what can be divided (reading and
hashing, decoding, audit, features, predictions). What the process that leads a run does with the records of all photos
takes one core and the memory of one node, however many nodes there are:

    core hours = photos x s / 3600
    hours      = core hours / (nodes x cores) for what is divided, core hours of what is not
    node hours = hours x nodes for what is divided, hours of what is not: the other nodes are given back then
    money      = node hours x price of a node hour
    shards     = photos / 4,096
    disk       = photos x (features 4 x width, pixel store 150,528 at 224 px, manifest 60)
    memory     = photos x bytes a record, of the stage that takes most

Rates of what needs pixels are those of docs/results.md for two cores, so half a photo count per core; the others are
read from `bench_records.json`, which `bench_records.py --save` measured. `--rate STAGE=PHOTOS` states another rate, in
photos a second of one core; a stage of a name that is not known, such as the search for copies, counts as undivided.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).with_name("bench_records.json")
PER_SHARD, STORED, MANIFEST = 4_096, 150_528, 60
PER_CORE = {"hash": 5503 / 2, "audit": 282 / 2, "store": 899 / 2, "features": 268 / 2}
"""Photos a second of one core: docs/results.md's of two, half of each."""

DIVIDED = ("hash", "audit", "store", "features", "predict")
EPOCHS_MEASURED = 1


@dataclass(frozen=True)
class Stage:
    """A stage. seconds: of one core for a photo. memory: bytes for a record. divided: whether nodes share it."""

    name: str
    seconds: float
    memory: float
    divided: bool

    def core_hours(self, photos: float) -> float:
        """Of all photos."""
        return photos * self.seconds / 3600


def stages(measured: list[Mapping[str, Any]], rates: Mapping[str, float], models: int, epochs: int) -> list[Stage]:
    """Take the stages of the largest size that was measured, and those that need pixels.

    Memory grows by the difference between the two largest sizes: what a process takes anyway is not counted.
    """
    largest = max(measured, key=lambda facts: int(facts["n"]))
    before = max((facts for facts in measured if facts["n"] < largest["n"]), key=lambda facts: int(facts["n"]))
    n, more = int(largest["n"]), int(largest["n"]) - int(before["n"])
    found = [Stage(name, (models if name == "features" else 1) / rate, 0, True) for name, rate in rates.items()
             if name in PER_CORE]
    for name, seconds in largest["cpu"].items():
        times = {"train, guide": models * epochs / EPOCHS_MEASURED, "train, probe": 0.0}.get(
            name, models / largest["models"] if name in ("predict", "judge", "galleries") else 1.0)
        rate = n / (seconds * times) if seconds * times else math.inf
        peak = (largest["peak"].get(name, 0) - before["peak"].get(name, 0)) / more
        found.append(Stage(name, 1 / rates.get(name, rate), max(peak, 0.0), name in DIVIDED))
    known = {stage.name for stage in found}
    found += [Stage(name, 1 / rate, 0, False) for name, rate in rates.items() if name not in known]
    return [stage for stage in found if stage.seconds]


def plan(found: list[Stage], photos: float, nodes: int, cores: int, memory: float, price: float, width: int,
         models: int) -> str:
    """Write the plan as a table, and what does not fit below it."""
    lines = [f"{'stage':<14}{'us a photo':>12}{'core hours':>14}{'hours':>12}  where"]
    hours, node_hours = 0.0, 0.0
    for stage in found:
        took = stage.core_hours(photos) / (nodes * cores if stage.divided else 1)
        hours, node_hours = hours + took, node_hours + took * (nodes if stage.divided else 1)
        lines.append(f"{stage.name:<14}{stage.seconds * 1e6:12.1f}{stage.core_hours(photos):14.2f}{took:12.2f}  "
                     f"{f'{nodes} nodes x {cores} cores' if stage.divided else 'one core of one node'}")
    most = max(found, key=lambda stage: stage.memory)
    disk = {"features": photos * 4 * width * models, "pixel store": photos * STORED, "manifest": photos * MANIFEST}
    lines += [f"{photos:,.0f} photos: {math.ceil(photos / PER_SHARD):,} shards; {hours:,.1f} hours, "
              f"{node_hours:,.0f} node hours, {node_hours * price:,.2f} at {price:g} a node hour",
              "disk: " + ", ".join(f"{name} {size / 1e12:,.2f} TB" for name, size in disk.items()),
              f"memory of the process that leads the run: {photos * most.memory / 1e9:,.1f} GB ({most.name}, "
              f"{most.memory:,.0f} bytes a record)"]
    if photos * most.memory > memory * 1e9:
        fitting = memory * 1e9 / most.memory
        lines.append(f"NOT POSSIBLE as it is: a node has {memory:g} GB. At most {fitting:,.0f} photos fit into one "
                     "run; divide them into runs, or see what is missing in docs/scale.md.")
    return "\n".join(lines)


def main() -> None:
    """Print the plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=float, required=True)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--memory", type=float, default=64, help="GB of a node")
    parser.add_argument("--price", type=float, default=0.0, help="of a node hour, in any currency")
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--measured", type=Path, default=MEASURED)
    parser.add_argument("--rate", action="append", default=[], metavar="STAGE=PHOTOS")
    chosen = parser.parse_args()
    rates = dict(PER_CORE)
    for stated in chosen.rate:
        name, _, rate = stated.rpartition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            parser.error(f"--rate {stated} is not STAGE=PHOTOS, such as audit=300")
        if not (name and 0 < rates[name] < math.inf):
            parser.error(f"--rate {stated}: name a stage, and a rate above 0")
    if min(chosen.photos, chosen.nodes, chosen.cores, chosen.memory) <= 0:
        parser.error("photos, nodes, cores and memory must be above 0")
    found = stages(json.loads(chosen.measured.read_text("utf-8")), rates, chosen.models, chosen.epochs)
    print(plan(found, chosen.photos, chosen.nodes, chosen.cores, chosen.memory, chosen.price, chosen.width,
               chosen.models))


if __name__ == "__main__":
    main()
