"""What each job of scripts/cifar10.py at scale full does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from _cifar_baselines import FULL_BASELINES
from _cifar_jobs import FRONTS, METHODS, NARROWED, REFERENCE, REFERENCES, SO_FAR, FullScale, Job, networks_of
from _cifar_measure import matched_widths, measure
from _cifar_tasks import print_each_minute
from _jobs import Results
from _progress import say
from _quantised_file import quantised_file
from _shared_supernet import SharedSupernet, best_or_nearest
from _timed_files import timed_files

import hwnas
from hwnas.data import ImageData, Split
from hwnas.spaces import Space
from hwnas.tasks import ImageClassification
from hwnas.training import Recipe, default_recipe, native_precision, score_onnx, train_network
from latency_tables import OpGraph, write_atomic
from profilers import build_onnx, cpu_identity, graph_macs, graph_params, random_weights

PRECISIONS = ("fp32", "int8")
PLAIN = {"average": 0.0, "label_smoothing": 0.0, "weight_decay": 1e-4, "small_first": 0.0}
"""The recipe of the ablation: without what the recipe of all other networks adds."""


@dataclass(frozen=True)
class Parts:
    """The images, in the parts that each step may see.

    Attributes:
        search: Train and validation part; its test part is the validation part once more.
        final: The whole train set; its validation and test part are in it, and judge nothing.
        test: The whole test set, for the last job alone.
    """

    search: ImageClassification
    final: ImageClassification
    test: ImageClassification

    @classmethod
    def divide(cls, data: ImageData) -> Parts:
        """Divide a data set; all parts are normalised alike."""
        train, held = data.train, data.validation
        whole = Split(np.concatenate([train.images, held.images]), np.concatenate([train.labels, held.labels]))
        tasks = (replace(data, test=held), replace(data, train=whole, test=held), data)
        return cls(*map(ImageClassification, tasks))


@dataclass(frozen=True)
class Experiment:
    """Does jobs.

    Attributes:
        parts: The images.
        results: Files of finished jobs.
        scale: How much is done.
        device: What trainings run on.
        threads: Torch's threads in a job that runs alone.
    """

    parts: Parts
    results: Results
    scale: FullScale
    device: str
    threads: int = 1

    def do(self, job: Job) -> dict[str, Any]:
        """Do a job and return its result."""
        work = {
            "latency": self._latency,
            "supernet": self._supernet,
            "baseline": self._baseline,
            "plain": self._baseline,
            "search": self._search,
            "pick": self._pick,
            "found": self._found,
            "int8": self._int8,
            "measure": self._measure,
            "test": self._test,
        }
        return work[job.kind](job)

    def _recipe(self, task: ImageClassification, **changes: object) -> Recipe:
        scale = self.scale
        common = {
            "epochs": scale.epochs,
            "batch_size": min(scale.batch_size, task.size("train")),
            "learning_rate": scale.learning_rate,
            "weight_decay": scale.weight_decay,
            "average": scale.average,
            "small_first": scale.small_first,
            "train_precision": native_precision(self.device),
        }
        return default_recipe(task, **(common | changes))

    # ---- before the searches

    def _latency(self, job: Job) -> dict[str, Any]:
        """Measure the references, and choose the widths of the other baselines."""
        times = measure({name: FULL_BASELINES[name](1.0) for name in REFERENCES})
        limits = {name: times[name]["ms"] for name in REFERENCES}
        families = {name: FULL_BASELINES[name] for name in NARROWED}
        widths = matched_widths(list(limits.values()), families)
        return {"ms": limits, "widths": dict(zip(REFERENCES, widths, strict=True)), "cpu": cpu_identity()["cpu"]}

    def _supernet_of(self, seed: int, precision: str | None = None, threads: int = 1) -> SharedSupernet:
        """Return the supernet of a seed; `precision` is what it was trained in, perhaps on another machine."""
        task = self.parts.search
        number = {"train_precision": precision or native_precision(self.device)}
        recipe = self._recipe(task, epochs=self.scale.supernet_epochs, average=0.0, small_first=0.0, **number)
        folder = self.results.place(Job("supernet", seed=seed))
        space = self.scale.space()
        return SharedSupernet(folder, space, task, recipe, seed=seed, device=self.device, threads=threads)

    def _supernet(self, job: Job) -> dict[str, Any]:
        """Train the supernet that the searches of a seed share."""
        supernet = self._supernet_of(job.seed or 0)
        supernet.prepare(self.results.place(job), print_each_minute(job.name))
        return {"images": supernet.recipe.epochs * self.parts.search.size("train"), "recipe": supernet.recipe.as_dict()}

    def _baseline(self, job: Job) -> dict[str, Any]:
        """Train a baseline."""
        width = 1.0
        if job.goal:
            widths = self.results.need(Job("latency"))["widths"][job.goal]
            if job.what not in widths:
                return {"none": f"no width of {job.what} is as fast as {job.goal}"}
            width = widths[job.what]
        graph = FULL_BASELINES[job.what](width)
        changes = PLAIN if job.kind == "plain" else {}
        return {"network": f"{job.what}:{width}", **self._trained(job, graph, changes)}

    def _trained(self, job: Job, graph: OpGraph, changes: Mapping[str, object]) -> dict[str, Any]:
        """Train a network from scratch on the whole train set, and write its file."""
        task = self.parts.final
        recipe = self._recipe(task, **changes)
        place = self.results.place(job)
        place.mkdir(parents=True, exist_ok=True)
        losses: list[float] = []
        network = train_network(
            graph,
            task,
            recipe,
            seed=job.seed or 0,
            device=self.device,
            threads=1,
            checkpoint=place / "checkpoint.pt",
            progress=print_each_minute(job.name),
            label="training",
            losses=losses,
        )
        write_atomic(place / "fp32.onnx", build_onnx(network.graph, network.arrays()).SerializeToString())
        images = recipe.epochs * task.size("train")
        sizes = {"macs": graph_macs(graph), "params": graph_params(graph)}
        return {**sizes, "images": images, "recipe": recipe.as_dict(), "losses": [round(loss, 4) for loss in losses]}

    # ---- searches

    def _search(self, job: Job) -> dict[str, Any]:
        """Search on the supernet, for a front or for the best network within the limit of a goal."""
        seed = job.seed or 0
        trained = self.results.need(Job("supernet", seed=seed))
        supernet = self._supernet_of(seed, trained["recipe"]["train_precision"], self.threads)
        within: dict[str, Any] = {}
        if job.goal:
            limit_ms = self.scale.limit_ms(job.goal, self.results.need(Job("latency"))["ms"])
            within = {"latency_budget": f"{limit_ms:.6g}ms"}
        result = hwnas.search(
            supernet.space,
            data=self.parts.search,
            evaluator=supernet,
            seed=seed,
            samples=self.scale.samples,
            out=self.results.place(job) / "run",
            evaluation_threads=self.threads,
            progress=say,
            **METHODS[job.what],
            **within,
        )
        front = [{"arch": trial.text, "validation": trial.values["accuracy"]} for trial in result.front]
        found: dict[str, Any] = {"front": front, "trials": len(result.trials)}
        if within:
            found["chosen"] = {"arch": best_or_nearest(result)["arch"], "within_limit": not result.over_budget}
        return found

    def _pick(self, job: Job) -> dict[str, Any]:
        """Measure the fronts of the searches of a seed together, and choose a network of each for each goal."""
        space = self.scale.space()
        fronts = {method: self.results.need(Job("search", method, seed=job.seed))["front"] for method in FRONTS}
        graphs = {name: FULL_BASELINES[name](1.0) for name in REFERENCES}
        graphs |= {found["arch"]: _graph(space, found["arch"]) for front in fronts.values() for found in front}
        times = measure(graphs)
        limits = {name: times[name]["ms"] for name in REFERENCES}  # of the same rounds as the networks
        networks = {
            method: [{**found, "ms": times[found["arch"]]["ms"]} for found in front] for method, front in fronts.items()
        }
        chosen = {
            method: {goal: chosen_network(front, self.scale.limit_ms(goal, limits)) for goal in self.scale.goals}
            for method, front in networks.items()
        }
        return {"ms": limits, "networks": networks, "chosen": chosen}

    def _found(self, job: Job) -> dict[str, Any]:
        """Train a chosen network; one that another goal or search chose too is trained once."""
        if job.what in FRONTS:
            chosen = self.results.need(Job("pick", seed=job.seed))["chosen"][job.what][job.goal]
        else:
            chosen = self.results.need(Job("search", job.what, job.goal, job.seed))["chosen"]
        for other in networks_of(self.scale):
            trained = self.results.get(other) if other.kind == "found" and other.seed == job.seed else None
            if trained and trained["network"] == chosen["arch"]:
                place = self.results.place(job)
                place.mkdir(parents=True, exist_ok=True)
                write_atomic(place / "fp32.onnx", (self.results.place(other) / "fp32.onnx").read_bytes())
                known = {name: trained[name] for name in ("network", "macs", "params", "images", "recipe", "losses")}
                return {**known, "same_as": other.name, "within_limit": chosen["within_limit"]}
        graph = _graph(self.scale.space(), chosen["arch"])
        facts = {"network": chosen["arch"], "within_limit": chosen["within_limit"]}
        return {**facts, **self._trained(job, graph, {})}

    # ---- all networks

    def _networks(self, last: Job) -> dict[Job, dict[str, Any]]:
        """Return the results of the networks that one of the last jobs is about.

        Raises:
            SystemExit: Some are not trained.
        """
        get = self.results.get if last.what == SO_FAR else self.results.need
        results = {job: get(job) for job in networks_of(self.scale)}
        return {job: result for job, result in results.items() if result is not None and "none" not in result}

    def _int8(self, job: Job) -> dict[str, Any]:
        """Quantise all networks; ranges come from the train set."""
        networks = self._networks(job)
        for other in networks:
            place = self.results.place(other)
            quantised_file(place / "fp32.onnx", place / "int8.onnx", self.parts.final)
        return {"networks": len(networks)}

    def _measure(self, job: Job) -> dict[str, Any]:
        """Time all files in the same rounds, and the references with random weights, trained or not."""
        self.results.need(Job("int8", job.what))
        files = {
            f"{other.name} {precision}": self.results.place(other) / f"{precision}.onnx"
            for other in self._networks(job)
            for precision in PRECISIONS
        }
        own = self.results.place(job)
        own.mkdir(parents=True, exist_ok=True)
        for name in REFERENCES:
            graph, file = FULL_BASELINES[name](1.0), own / f"{name}.onnx"
            write_atomic(file, build_onnx(graph, random_weights(graph, 0)).SerializeToString())
            files[f"{REFERENCE} {name}"] = file
        times = timed_files(files, threads=1, rounds=self.scale.rounds)
        return {"ms": {name: dict(statistics) for name, statistics in times.items()}, "cpu": cpu_identity()["cpu"]}

    def _test(self, job: Job) -> dict[str, Any]:
        """Judge all files on the test set, for the only time."""
        self.results.need(Job("measure", job.what))
        test = {
            f"{other.name} {precision}": score_onnx(
                self.results.place(other) / f"{precision}.onnx", self.parts.test, "test"
            )
            for other in self._networks(job)
            for precision in PRECISIONS
        }
        return {"test": test, "images": self.parts.test.size("test")}


def _graph(space: Space, arch: str) -> OpGraph:
    return space.graph(space.parse(arch))


def chosen_network(front: Sequence[Mapping[str, Any]], limit_ms: float) -> dict[str, Any]:
    """Return the network with the best validation accuracy within a latency limit; without one, the fastest."""
    within = [network for network in front if network["ms"] <= limit_ms]
    best = max(within, key=lambda network: float(network["validation"]), default=None)
    return {**(best or min(front, key=lambda network: float(network["ms"]))), "within_limit": best is not None}
