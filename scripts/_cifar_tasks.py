"""The tasks of the processes of scripts/cifar10.py: supernets and single trainings. Each result is kept in a file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _cifar_baselines import BASELINES

from hwnas.costs import SpaceCosts, make_problem
from hwnas.evaluators import SupernetEvaluator
from hwnas.spaces import Space, make_space
from hwnas.tasks import PARTS, ImageClassification
from hwnas.training import CostFunction, Recipe, Subnet, default_recipe, score_network, train_network
from latency_tables import OpGraph, load_table, write_atomic
from search import Study, make_strategy

SPACE = "mobilenetv3"
SUPERNET, NETWORK = "supernet", "network"


def print_each_minute(label: str) -> Callable[[int, int, str], None]:
    """Make a receiver of progress that prints the last line, and otherwise one line each minute."""
    last = time.monotonic()

    def receive(done: int, total: int, text: str) -> None:
        nonlocal last
        if done >= total or time.monotonic() - last >= 60.0:
            last = time.monotonic()
            print(f"  {label}: {text}", flush=True)

    return receive


@dataclass(frozen=True)
class Scale:
    """How large the experiment is.

    Attributes:
        images: Images of each part of the data; None for all.
        epochs: Epochs of every single training, of baselines and found networks.
        supernet_epochs: Epochs of a supernet, with either sampling.
        batch_size: Batch size of all trainings.
        learning_rate: Learning rate of all trainings.
        subnets: Number of networks whose rank is compared.
        samples: Number of architectures that a search evaluates.
        seeds: Number of seeds of supernets, searches and trainings.
        device: Device of the trainings.
        widths: Width multipliers of the space.
        resolutions: Image sizes of the space.
    """

    images: int | None
    epochs: int
    supernet_epochs: int
    batch_size: int
    learning_rate: float
    subnets: int
    samples: int
    seeds: int
    device: str
    widths: tuple[float, ...]
    resolutions: tuple[int, ...]

    def space(self) -> Space:
        """Make the space that is searched."""
        return make_space(SPACE, preset="tiny", resolution=list(self.resolutions), width=list(self.widths), classes=10)

    def data(self, path: str) -> ImageClassification:
        """Load the images, as a task."""
        return ImageClassification.load(path, limit=self.images)

    def recipe(self, data: ImageClassification, **changes: object) -> Recipe:
        """Make the recipe of every training: standard augmentation, one schedule."""
        common = {"batch_size": self.batch_size, "learning_rate": self.learning_rate, "epochs": self.epochs}
        return default_recipe(data, **(common | changes))


@dataclass(frozen=True)
class Task:
    """One unit of work, done once and kept.

    Attributes:
        kind: `SUPERNET` or `NETWORK`.
        name: The sampling of a supernet; for a network ``"space:ARCH"`` or ``"FAMILY:WIDTH"``.
        seed: Seed of everything random.
    """

    kind: str
    name: str
    seed: int

    @property
    def label(self) -> str:
        """File name of the result."""
        return f"{self.kind}-{self.name}-{self.seed}".replace(":", "-").replace("/", "-")


class Worker:
    """Does tasks in one process.

    Args:
        scale: The experiment's size.
        data: Path of the data set.
        workdir: Folder for results and checkpoints.
        ranked: Architectures whose supernet accuracies are wanted.
    """

    def __init__(self, scale: Scale, data: str, workdir: Path, ranked: list[str]) -> None:
        self.scale, self.workdir, self.ranked = scale, workdir, ranked
        self.data = scale.data(data)
        self.space = scale.space()
        self.table = load_table(workdir / "table.json")
        self.costs = SpaceCosts(self.space, self.table)

    def do(self, task: Task) -> dict[str, Any]:
        """Return the task's result, from its file where that exists."""
        settings = json.loads(json.dumps({"task": asdict(task), "scale": asdict(self.scale), "ranked": self.ranked}))
        if task.kind == NETWORK:
            del settings["ranked"]
        file = self.workdir / "results" / f"{task.label}.json"
        if file.exists():
            kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if kept["settings"] == settings:
                return kept
        began = time.perf_counter()
        result = self._supernet(task) if task.kind == SUPERNET else self._network(task)
        result |= {"settings": settings, "seconds": round(time.perf_counter() - began, 2)}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(result).encode())
        return result

    def graph(self, name: str) -> OpGraph:
        """Build the network that a task's name stands for."""
        family, _, rest = name.partition(":")
        return self.space.graph(self.space.parse(rest)) if family == "space" else BASELINES[family](float(rest))

    def _network(self, task: Task) -> dict[str, Any]:
        """Train from scratch."""
        graph = self.graph(task.name)
        recipe = self.scale.recipe(self.data)
        network = train_network(graph, self.data, recipe, seed=task.seed, device=self.scale.device, threads=1)
        return self._accuracies(graph, network.arrays())

    def _accuracies(self, graph: OpGraph, weights: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        tensors = {name: torch.from_numpy(array).to(self.scale.device) for name, array in weights.items()}
        subnet, device = Subnet(graph, tensors), self.scale.device
        return {part: score_network(subnet, self.data, part, graph.input_shape, device=device) for part in PARTS[1:]}

    def _supernet(self, task: Task) -> dict[str, Any]:
        """Train a supernet, evaluate the ranked, smallest and largest networks, and search."""
        recipe = self.scale.recipe(self.data, epochs=self.scale.supernet_epochs, sampling=task.name)
        evaluator = SupernetEvaluator(
            self.space, self.data, recipe, seed=task.seed, device=self.scale.device, threads=1
        )
        evaluator.set_cost(CostFunction("latency_ms", self.costs.latency_ms))
        began = time.perf_counter()
        evaluator.prepare(
            self.workdir / "checkpoints" / task.label,
            print_each_minute(task.label),
        )
        trained = time.perf_counter() - began
        ranked = {text: evaluator.test_value(self.space.parse(text)) for text in self.ranked}
        study = self._search(evaluator, task.seed)
        front = [
            {
                "arch": self.space.format(arch := self.space.decode(trial.codes)),
                "latency_ms": trial.values["latency_ms"],
                "validation": trial.values["accuracy"],
                "test": evaluator.test_value(arch),
            }
            for trial in study.front()
        ]
        ends = {
            end: evaluator.test_value(self.space.decode(np.array(codes)))
            for end, codes in zip(("smallest", "largest"), study.problem.anchors, strict=True)
        }
        return {"ranked": ranked, "front": front, "ends": ends, "training_seconds": round(trained, 2)}

    def _search(self, evaluator: SupernetEvaluator, seed: int) -> Study:
        problem = make_problem(self.space, {"latency_ms": self.costs.cost("latency_ms")}, ["latency"], {})
        study = Study(problem, make_strategy("lamoo"), seed=seed)
        while len(study.trials) < self.scale.samples and (proposals := study.ask()):
            for proposal in proposals:
                value = evaluator.evaluate(self.space.decode(proposal.codes)).value
                study.tell(proposal.number, {"accuracy": value})
        return study


_worker: Worker | None = None


def begin(*setup: Any) -> None:
    """Make this process's worker."""
    global _worker
    _worker = Worker(*setup)


def do(task: Task) -> dict[str, Any]:
    """Do a task in this process."""
    assert _worker is not None
    return _worker.do(task)
