"""Searched networks against hand-made ones on a task, at equal measured latency: limits, searches, trainings, files.

A comparison names *arms* (a search each, in a space) and *rivals* (networks that a person has drawn). The measured
latency of the first rival is the yardstick; limits are shares of it. Each arm is searched within the yardstick, for
each seed or once for all. Of each search, the most accurate networks within a limit are measured again with nothing
beside them. Those that keep the limit are trained like the rivals, and the one with the best value on the validation
part goes on. The test part decides nothing. In the end the files of all that went on are timed in the same rounds.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from _compared_networks import milliseconds
from _jobs import Phase, Results, do_phases, named
from _mean_rows import mean_row
from _progress import say
from _timed_files import timed_files

import hwnas
from hwnas.oneshot import read_training
from hwnas.spaces import Architecture, Space
from hwnas.tasks import Task
from hwnas.training import default_recipe, judge_onnx, native_precision, score_network, train_network
from latency_tables import OpGraph, write_atomic
from profilers import build_onnx, graph_macs, graph_params

SLACK = 1.1
"""A search's own latency may be so far above a limit for a network to be measured again."""


@dataclass(frozen=True)
class Arm:
    """A search.

    Attributes:
        contestant: Whose networks it finds; the best of all arms of a contestant goes on.
        space: What is searched.
        options: Options of `hwnas.search` in place of the usual ones: every network trained alone, by LaMOO. Samples
            are at most those of the scale.
        shares: The limits that it serves; the budget of the search is the largest of them. None for all.
        supernet: Name of the trained supernet that it shares with other arms of an equal space, for each seed one; None
            where it trains what it needs.
    """

    contestant: str
    space: Space
    options: Mapping[str, Any] = field(default_factory=dict)
    shares: tuple[float, ...] | None = None
    supernet: str | None = None


@dataclass(frozen=True)
class Setup:
    """What is compared for one seed.

    Attributes:
        task: The task; its parts may follow from the seed.
        arms: Searches by name.
        rivals: Hand-made networks by name; the first is the yardstick.
    """

    task: Task
    arms: Mapping[str, Arm]
    rivals: Mapping[str, OpGraph]


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        shares: Limits, as shares of the yardstick's measured latency.
        samples: Trials of a search, at most.
        search_epochs: Epochs of each of its trainings.
        epochs: Epochs of the trainings that count.
        finalists: Networks of an arm that are trained for a limit.
        seeds: Trainings of each network.
        searches: Searches of each arm; later seeds train what the first seeds' searches found. As many as seeds by
            default, and then each seed may have parts of its own.
        rounds: Rounds of a measurement.
        recipe: Settings of all trainings that are not the task's own.
    """

    shares: tuple[float, ...]
    samples: int
    search_epochs: int
    epochs: int
    finalists: int = 3
    seeds: int = 3
    searches: int | None = None
    rounds: int = 40
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One unit of work; what does not concern it is empty."""

    kind: str
    seed: int = 0
    of: str = ""
    network: str = ""

    @property
    def name(self) -> str:
        """Name of its file."""
        words = (self.kind, f"s{self.seed}", self.of, self.network)
        return "-".join(word.lower().replace(" ", "-") for word in words if word)


class SharedSupernet(hwnas.Evaluator, hwnas.Trainer):
    """A supernet that is trained once, in a folder of its own, and serves several searches.

    Args:
        evaluator: Trains the supernet and evaluates with it.
        folder: Where it is kept.
    """

    name = "supernet"
    shares_weights = True

    def __init__(self, evaluator: hwnas.Evaluator, folder: Path) -> None:
        self._own, self._folder = evaluator, folder
        self.metric = evaluator.metric

    @property
    def settings(self) -> dict[str, object]:
        """Those of the evaluator."""
        return self._own.settings

    def prepare(self, workdir: Path, progress: Callable[[int, int, str], None] | None = None) -> None:
        """Train it, or take what was trained."""
        self._own.prepare(self._folder, progress)

    def evaluate(self, arch: Architecture) -> hwnas.Evaluation:
        """Return the value of a subnet."""
        return self._own.evaluate(arch)

    def trained_weights(self, arch: Architecture) -> dict[str, npt.NDArray[np.float32]]:
        """Return the weights of a subnet."""
        return self._trainer.trained_weights(arch)

    def test_value(self, arch: Architecture) -> float:
        """Return the value of a subnet on the test part."""
        return self._trainer.test_value(arch)

    @property
    def _trainer(self) -> hwnas.Trainer:
        assert isinstance(self._own, hwnas.Trainer)
        return self._own


class Comparison:
    """The jobs of a comparison.

    Args:
        results: Their files.
        scale: How much is done.
        setups: What is compared, for each seed.
        device: What networks are trained on; latencies are always this machine's.
        search_workers: Networks that a search trains at once.
    """

    def __init__(
        self, results: Results, scale: Scale, setups: Sequence[Setup], device: str = "cpu", search_workers: int = 1
    ) -> None:
        self._results, self._scale, self._setups = results, scale, setups
        self._device, self._search_workers = device, search_workers

    def first_phases(self) -> list[Phase[Job]]:
        """Return the jobs that lead to candidates."""
        tables = [Job("table", of=arm) for arm in dict.fromkeys(self._tables.values())]
        first = Phase([Job("limits"), *tables], alone=True)
        seeds = range(len(self._setups))
        arms = [(self._search_of(seed, name), arm) for seed in seeds for name, arm in self._setups[seed].arms.items()]
        supernets = [Job("supernet", search.seed, arm.supernet) for search, arm in arms if arm.supernet is not None]
        searches = [search for search, _ in arms]
        phases = [Phase(list(dict.fromkeys(jobs))) for jobs in (supernets, searches) if jobs]
        return [first, *phases, Phase([Job("candidates")], alone=True)]

    def last_phases(self) -> list[Phase[Job]]:
        """Return the trainings and the final measurement; candidates must be known."""
        trainings = [Job("train", seed, "rival", name) for seed, s in enumerate(self._setups) for name in s.rivals]
        candidates = self._results.need(Job("candidates"))["candidates"]
        trainings += [Job("train", c["seed"], c["arm"], str(c["number"])) for c in candidates]
        return [Phase(list(dict.fromkeys(trainings))), Phase([Job("measure")], alone=True)]

    def do(self, job: Job) -> Mapping[str, Any]:
        """Do a job and return its result."""
        does = {
            "limits": self._limits,
            "table": self._table,
            "supernet": self._supernet,
            "search": self._search,
            "candidates": self._candidates,
            "train": self._train,
            "measure": self._measure,
        }
        return does[job.kind](job)

    def _limits(self, job: Job) -> Mapping[str, Any]:
        rivals = self._setups[0].rivals
        return {"latency_ms": dict(zip(rivals, self._milliseconds(rivals.values()), strict=True))}

    @property
    def _tables(self) -> dict[str, str]:
        """The arm whose table serves each arm: the first one with an equal space."""
        firsts: dict[str, str] = {}
        arms = self._setups[0].arms
        for name, arm in arms.items():
            stated = (arm.space.name, arm.space.settings)
            alike = (first for n, first in firsts.items() if (arms[n].space.name, arms[n].space.settings) == stated)
            firsts[name] = next(alike, name)
        return firsts

    def _table(self, job: Job) -> Mapping[str, Any]:
        """Measure the latency table of an arm, with nothing beside it."""
        space = self._setups[0].arms[job.of].space
        hwnas.profile(
            space, out=self._place_of_table(job.of), threads=1, progress=lambda line: say(f"{job.name}: {line}")
        )
        return {}

    def _place_of_table(self, arm: str) -> Path:
        return self._results.place(Job("table", of=arm)) / "table.json"

    def _supernet(self, job: Job) -> Mapping[str, Any]:
        """Train a supernet that several arms share."""
        arm = next(arm for arm in self._setups[job.seed].arms.values() if arm.supernet == job.of)
        self._shared(job.seed, arm).prepare(Path(), lambda done, total, line: say(f"{job.name}: {line}"))
        return {}

    @property
    def _recipe(self) -> dict[str, Any]:
        """Settings of all trainings: those of the scale, in the processor's own format where they name none."""
        return {"train_precision": native_precision("cpu"), **self._scale.recipe}

    def _shared(self, seed: int, arm: Arm) -> SharedSupernet:
        place = self._results.place(Job("supernet", seed, str(arm.supernet)))
        return SharedSupernet(self._evaluator("supernet", seed, arm), place)

    def _evaluator(self, name: str, seed: int, arm: Arm) -> hwnas.Evaluator:
        """Return what trains the networks of a search, on the device for trainings."""
        task, epochs = self._setups[seed].task, self._scale.search_epochs
        return hwnas.make_evaluator(
            name, arm.space, task, device=self._device, seed=seed, threads=1, epochs=epochs, **self._recipe
        )

    def _search(self, job: Job) -> Mapping[str, Any]:
        setup, scale = self._setups[job.seed], self._scale
        arm = setup.arms[job.of]
        trained: dict[str, Any] = {
            "evaluator": "train",
            "epochs": scale.search_epochs,
            "recipe": ",".join(f"{name}={value}" for name, value in scale.recipe.items()) or None,
        }
        if arm.supernet is not None:
            trained = {"evaluator": self._shared(job.seed, arm)}
        elif arm.options.get("offline"):
            trained = {"evaluator": self._evaluator("train", job.seed, arm)}  # nothing is measured: a GPU may train
        usual = {"samples": scale.samples, "finalize": "none", "threads": 1, "workers": self._search_workers}
        chosen: dict[str, Any] = {**usual, **trained, **arm.options}
        chosen["samples"] = min(chosen["samples"], scale.samples)
        slack = SLACK if chosen.get("offline") else 1.0  # a prediction errs
        found = hwnas.search(
            arm.space,
            data=setup.task,
            table=self._place_of_table(self._tables[job.of]),
            out=self._results.place(job) / "run",
            budgets={"latency": max(self._shares_of(arm)) * self._yardstick_ms * slack},
            seed=job.seed,
            progress=lambda line: say(f"{job.name}: {line}"),
            **chosen,
        )
        kept = [trial for trial in found.trials if not trial.failed and not trial.low_fidelity]
        return {"trials": [{"number": t.number, "network": t.text, "values": dict(t.values)} for t in kept]}

    def _candidates(self, job: Job) -> Mapping[str, Any]:
        """Measure the most accurate networks of each search within each limit, and keep those within it."""
        wanted: dict[tuple[int, str, int], dict[str, Any]] = {}
        asked: list[tuple[float, int, str, list[dict[str, Any]]]] = []
        for seed, setup in enumerate(self._setups):
            metric = setup.task.metric
            for arm, stated in setup.arms.items():
                trials = self._results.need(self._search_of(seed, arm))["trials"]
                trials = sorted(trials, key=lambda t: -metric.sign * t["values"][metric.name])
                for share in self._shares_of(stated):
                    limit = share * self._yardstick_ms * SLACK
                    near = [t for t in trials if t["values"]["latency_ms"] <= limit][: 2 * self._scale.finalists]
                    asked.append((share, seed, arm, near))
                    wanted |= {(seed, arm, t["number"]): t for t in near}
        rivals = self._setups[0].rivals
        graphs = [self._setups[seed].arms[arm].space for seed, arm, _ in wanted]
        drawn = [space.graph(space.parse(t["network"])) for space, t in zip(graphs, wanted.values(), strict=True)]
        times = self._milliseconds([*rivals.values(), *drawn])
        yardstick, measured = times[0], dict(zip(wanted, times[len(rivals) :], strict=True))
        candidates = []
        for share, seed, arm, near in asked:
            within = [t for t in near if measured[seed, arm, t["number"]] <= share * yardstick]
            candidates += [
                {"share": share, "seed": seed, "arm": arm, **t, "latency_ms": measured[seed, arm, t["number"]]}
                for t in within[: self._scale.finalists]
            ]
        return {"yardstick_ms": yardstick, "candidates": candidates}

    def _train(self, job: Job) -> Mapping[str, Any]:
        """Train a network from scratch; keep its file and its values on the validation and the test part."""
        setup = self._setups[job.seed]
        if job.of == "rival":
            text, graph = job.network, setup.rivals[job.network]
        else:
            trials = self._results.need(self._search_of(job.seed, job.of))["trials"]
            text = next(t["network"] for t in trials if t["number"] == int(job.network))
            space = setup.arms[job.of].space
            graph = space.graph(space.parse(text))
        recipe = default_recipe(setup.task, epochs=self._scale.epochs, **self._recipe)
        losses: list[float] = []
        network = train_network(graph, setup.task, recipe, seed=job.seed, device=self._device, threads=1, losses=losses)
        file = self._file(job)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, build_onnx(network.graph, network.arrays()).SerializeToString())
        scorer = judge_onnx(file, setup.task, "test")
        return {
            "network": text,
            "validation": score_network(network, setup.task, "validation", graph.input_shape),
            "torch_test": score_network(network, setup.task, "test", graph.input_shape),
            "test": scorer.value(),
            "beside": dict(scorer.others()),
            "macs": graph_macs(graph),
            "params": graph_params(graph),
            "recipe": recipe.as_dict(),
            "losses": [round(loss, 4) for loss in losses],
        }

    def _measure(self, job: Job) -> Mapping[str, Any]:
        """Choose a network for each seed, contestant and limit; time all files in the same rounds."""
        rows: list[dict[str, Any]] = []
        for seed, setup in enumerate(self._setups):
            for name in setup.rivals:
                rows.append({"who": name, "seed": seed, "share": None, "job": Job("train", seed, "rival", name)})
            for share in self._scale.shares:
                for contestant in dict.fromkeys(arm.contestant for arm in setup.arms.values()):
                    if (best := self._best(seed, contestant, share)) is not None:
                        rows.append({"who": contestant, "seed": seed, "share": share, "job": best})
        files = {row["job"].name: self._file(row["job"]) for row in rows}
        times = timed_files(files, threads=1, rounds=self._scale.rounds)
        for row in rows:
            job = row.pop("job")
            training, statistics = self._results.need(job), times[job.name]
            row |= {name: training[name] for name in ("network", "validation", "test", "torch_test", "beside")}
            row |= {name: training[name] for name in ("macs", "params")}
            row |= {"arm": job.of, "median_ms": statistics["median"], "p90_ms": statistics["p90"]}
        return {"rows": rows}

    def _best(self, seed: int, contestant: str, share: float) -> Job | None:
        """Return the training with the best value on the validation part; None if no network keeps the limit."""
        setup = self._setups[seed]
        own = [
            Job("train", seed, c["arm"], str(c["number"]))
            for c in self._results.need(Job("candidates"))["candidates"]
            if c["share"] == share and c["seed"] == seed and setup.arms[c["arm"]].contestant == contestant
        ]
        sign = setup.task.metric.sign
        return max(own, key=lambda job: sign * self._results.need(job)["validation"], default=None)

    def _shares_of(self, arm: Arm) -> tuple[float, ...]:
        return self._scale.shares if arm.shares is None else arm.shares

    def _search_of(self, seed: int, arm: str) -> Job:
        """Return the search whose networks a seed trains."""
        return Job("search", seed % (self._scale.searches or len(self._setups)), arm)

    def _file(self, job: Job) -> Path:
        return self._results.place(job) / "network.onnx"

    @property
    def _yardstick_ms(self) -> float:
        return float(next(iter(self._results.need(Job("limits"))["latency_ms"].values())))

    def _milliseconds(self, graphs: Iterable[OpGraph]) -> list[float]:
        return milliseconds(list(graphs), rounds=self._scale.rounds, most_s=300.0)

    def outcome(self) -> dict[str, Any]:
        """Return rows, means over seeds beside the yardstick, what the searches cost, and how decided they ended.

        ``entropies``: of the distribution of each one-shot search, as a share of the largest.
        """
        rows = self._results.need(Job("measure"))["rows"]
        yardstick = next(iter(self._setups[0].rivals))
        jobs = [job for phase in self.first_phases() for job in phase.jobs if job.kind in ("supernet", "search")]
        searches = {job.name: self._results.need(job)["core_seconds"] for job in jobs}
        means = [
            mean_row(rows, yardstick, who, share)
            for who, share in dict.fromkeys((row["who"], row["share"]) for row in rows)
        ]
        trainings = {job.name: self._results.place(job) / "run" / "evaluator" / "oneshot.json" for job in jobs}
        entropies = {name: read_training(file).epochs[-1].entropy for name, file in trainings.items() if file.exists()}
        return {
            "yardstick": yardstick,
            "means": means,
            "rows": rows,
            "core_seconds": searches,
            "entropies": entropies,
        }


def lines_of(outcome: Mapping[str, Any]) -> list[str]:
    """Return a line for each contestant and limit."""
    lines = []
    for mean in outcome["means"]:
        limit = "" if mean["share"] is None else f" within {mean['share']:.2g} of {outcome['yardstick']}"
        error = "" if mean["lead_error"] is None else f" +- {100 * mean['lead_error']:.2f}"
        lead = "" if mean["who"] == outcome["yardstick"] else f", ahead by {100 * mean['lead']:+.2f}{error} points"
        measured = f"{mean['median_ms']:.4g} ms (at most {mean['latency']:.0%}), {mean['macs'] / 1e6:.2f} M MACs"
        lines.append(f"{mean['who']}{limit}: {100 * mean['test']:.2f}{lead}, {measured}, {mean['seeds']} seeds")
    return lines


@dataclass(frozen=True)
class Experiment:
    """A comparison by name.

    Attributes:
        setup: Returns what is compared, given the data and the seed.
        scale: How much is done.
    """

    setup: Callable[[str, int], Setup]
    scale: Scale


SMOKE: Mapping[str, Any] = {"samples": 3, "search_epochs": 5, "epochs": 1, "finalists": 1, "rounds": 3}
_SCALED = ("samples", "search_epochs", "epochs", "finalists", "seeds")


def run_command(description: str, experiments: Mapping[str, Experiment]) -> None:
    """Do what the command line asks of a script that makes comparisons."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(experiments), help="what is compared")
    parser.add_argument("--data", type=Path, required=True, help="the data")
    parser.add_argument("--runs", type=Path, required=True, help="folder for searches, networks and tables")
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON file for the result")
    parser.add_argument("--workers", type=int, default=1, help="searches or trainings at once (default 1)")
    parser.add_argument(
        "--search-workers", type=int, default=1, help="networks that each search trains at once (default 1)"
    )
    parser.add_argument("--device", default="cpu", help="what networks are trained on: cpu or cuda (default cpu)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="only jobs whose name contains it ($: its end); no result",
    )
    parser.add_argument("--smoke", action="store_true", help="everything once on few trials: a test, no result")
    for name in _SCALED:
        usual = ", ".join(f"{key} {getattr(e.scale, name)}" for key, e in experiments.items())
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"default: {usual}")
    _run(experiments, parser.parse_args())


def _run(experiments: Mapping[str, Experiment], options: argparse.Namespace) -> None:
    """Do all jobs that are not done yet, then write the result."""
    experiment = experiments[options.name]
    given = {name: value for name in _SCALED if (value := getattr(options, name)) is not None}
    scale = replace(experiment.scale, **{**(SMOKE if options.smoke else {}), **given})
    os.environ.setdefault("HWNAS_TABLES", str(options.runs / "tables"))
    folder = options.runs / (f"{options.name}-smoke" if options.smoke else options.name)
    compared = {name: value for name, value in asdict(scale).items() if name != "seeds"}
    setups = [experiment.setup(str(options.data), seed) for seed in range(scale.seeds)]
    facts = {"scale": compared, "data": setups[0].task.fingerprint}
    results = Results(folder, facts, option="--runs")
    comparison = Comparison(results, scale, setups, options.device, options.search_workers)
    if options.only:
        chosen = [replace(phase, jobs=named(phase.jobs, options.only)) for phase in comparison.first_phases()]
        do_phases(results, comparison.do, chosen, options.workers)
        return
    do_phases(results, comparison.do, comparison.first_phases(), options.workers)
    do_phases(results, comparison.do, comparison.last_phases(), options.workers)
    outcome = comparison.outcome()
    notes = [list(setup.task.notes) for setup in setups]
    whole = {"name": options.name, **facts, "notes": notes, **outcome}
    write_atomic(options.output, json.dumps(whole, indent=1) + "\n")
    for line in lines_of(outcome):
        say(line)
