"""Compare searches by what they know of latency: exact values, noisy measurements, or predictions of a table.

    scripts/bench_noisy_trials.py --table TABLE.json -o FILE.json [--seeds 50]

Nothing is measured. A network's true latency is the table's prediction times a fixed random factor; a measurement is
the true latency times noise; the metric is a made-up function of the architecture. For each seed the same search is
made four times:

* known: the strategy computes the true latency of every candidate;
* predictions: it takes the table's predictions for true, as ``--measure winners`` does;
* told: each trial is measured, and the strategy takes the measurements for exact;
* combined: each trial is measured with a stated deviation, as ``--measure trials`` does.

The result is the hypervolume, by true values, of all trials and of the front that each search believes in.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _progress import say

from hwnas.costs import SpaceCosts, make_problem
from hwnas.spaces import Space
from hwnas.tables import space_of
from latency_tables import load_table, write_atomic
from search import Study, hypervolume, make_strategy, nondominated

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
VARIANTS = ("known", "predictions", "told", "combined")
LATENCY, METRIC = "latency_ms", "accuracy"
PROBES = 400
"""Random networks that give the scales."""


class World:
    """True values of all networks of a space.

    Args:
        space: The space.
        costs: Predicts latencies and MACs.
        seed: Decides the metric and the factors.
        error: Standard deviation of the table's errors, relative.
    """

    def __init__(self, space: Space, costs: SpaceCosts, seed: int, error: float) -> None:
        self._space, self._seed, self._error = space, seed, error
        self.predicted, self._macs = costs.cost(LATENCY), costs.cost("macs")
        rng = np.random.default_rng(1000 + seed)
        probes = np.array([space.encode(arch) for arch in space.sample(PROBES, rng)])
        sizes, features = np.log(self._macs(probes)), space.features(probes)
        self._least, self._range = sizes.min(), np.ptp(sizes)
        self._mean, self._deviation = features.mean(axis=0), features.std(axis=0) + 1e-9
        self._slopes = rng.normal(size=features.shape[1]) / np.sqrt(features.shape[1])
        latencies = np.log(self.latency(probes))
        self._ends = latencies.min() - 0.3, latencies.max() + 0.3

    def latency(self, codes: IntArray) -> FloatArray:
        """Return true latencies ``(n,)`` in milliseconds."""
        return self.predicted(codes) * np.exp(self._error * self._drawn(codes, "latency"))

    def metric(self, codes: IntArray) -> FloatArray:
        """Return the metric ``(n,)``: it saturates with size, and depends on the choices beside that."""
        size = np.clip((np.log(self._macs(codes)) - self._least) / self._range, -0.2, 1.2)
        choices = ((self._space.features(codes) - self._mean) / self._deviation) @ self._slopes
        smooth = 0.97 - 0.2 * np.exp(-4 * (size + 0.2)) + 0.012 * choices
        return np.asarray(smooth + 0.005 * self._drawn(codes, "metric"))

    def points(self, codes: IntArray) -> FloatArray:
        """Return true values ``(n, 2)``, maximised, on about 0 to 1."""
        low, high = self._ends
        return np.stack(
            [(self.metric(codes) - 0.75) / 0.25, (high - np.log(self.latency(codes))) / (high - low)], axis=1
        )

    def _drawn(self, codes: IntArray, what: str) -> FloatArray:
        """Return a standard normal number of each network, always the same for the same network."""
        salt = zlib.crc32(what.encode())
        keys = [zlib.crc32(np.asarray(row, dtype=np.int64).tobytes()) for row in codes]
        return np.array([np.random.default_rng([key, self._seed, salt]).normal() for key in keys])


def searched(world: World, space: Space, variant: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Search once; return the hypervolume of all trials, and of the front that the search believes in."""
    measured = variant in ("told", "combined")
    function = world.latency if variant == "known" else world.predicted
    problem = make_problem(space, {LATENCY: function}, ["latency"], {}, measured=(LATENCY,) if measured else ())
    study = Study(problem, make_strategy("lamoo"), seed=seed, initial=10, batch=5)
    rng = np.random.default_rng(seed)
    while len(study.trials) < options.trials and (proposals := study.ask()):
        for proposal in proposals:
            codes = np.asarray(proposal.codes)[None]
            values, deviations = {METRIC: float(world.metric(codes)[0])}, dict[str, float]()
            if measured:
                values[LATENCY] = float(world.latency(codes)[0] * np.exp(options.noise * rng.normal()))
            if variant == "combined":
                deviations = {LATENCY: options.noise * values[LATENCY]}
            study.tell(proposal.number, values, deviations=deviations)
    codes = np.array([trial.codes for trial in study.trials])
    latencies = np.array([trial.values[LATENCY] for trial in study.trials]) if measured else function(codes)
    believed = nondominated(np.stack([world.metric(codes), -latencies], axis=1))
    points = world.points(codes)
    return {"all": hypervolume(points, np.zeros(2)), "front": hypervolume(points[believed], np.zeros(2))}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return means over seeds, and paired differences from `predictions`, each with its standard error."""
    values = {name: np.array([[row[name]["all"], row[name]["front"]] for row in rows]) for name in VARIANTS}
    result = {}
    for name, own in values.items():
        lead = own - values["predictions"]
        errors = lead.std(axis=0, ddof=1) / np.sqrt(len(rows))
        means, ahead = own.mean(axis=0), lead.mean(axis=0)
        result[name] = {
            part: {"mean": float(means[i]), "ahead": float(ahead[i]), "standard_error": float(errors[i])}
            for i, part in enumerate(("all", "front"))
        }
    return result


def main() -> None:
    """Search with all seeds and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="latency table of the space to search")
    parser.add_argument("--seeds", type=int, default=50, help="searches of each kind (default 50)")
    parser.add_argument("--trials", type=int, default=60, help="trials of a search (default 60)")
    parser.add_argument("--error", type=float, default=0.02, help="deviation of the table's errors (default 0.02)")
    parser.add_argument("--noise", type=float, default=0.025, help="deviation of a measurement (default 0.025)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    options = parser.parse_args()
    table = load_table(options.table)
    space = space_of(table)
    costs, rows = SpaceCosts(space, table), []
    for seed in range(options.seeds):
        world = World(space, costs, seed, options.error)
        rows.append({name: searched(world, space, name, seed, options) for name in VARIANTS})
        say(f"seed {seed}: " + ", ".join(f"{name} {rows[-1][name]['all']:.4f}" for name in VARIANTS))
    settings = {name: getattr(options, name) for name in ("seeds", "trials", "error", "noise")}
    result = {"space": space.name, **settings, "summary": summary(rows), "searches": rows}
    write_atomic(options.output, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
