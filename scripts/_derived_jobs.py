"""The jobs of the comparison of derived spaces: what there is to do, in which order, and how much it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latency_tables import write_atomic

SHARES = (0.7, 0.5, 0.35)
"""Budgets: shares of the base's measured latency."""
METHODS = {
    "ours": "hwnas, derived space",
    "pruned": "torch-pruning, fine-tuned",
    "sparse": "torch-pruning, sparse training first",
    "narrow": "narrowed, trained from scratch",
    "narrow-long": "narrowed, also the base's images",
}
TRAININGS = tuple(METHODS)
"""Jobs that end with a network to compare."""
RATES = {"resnet20": 1000.0, "inverted": 385.0}
"""Train images a second of the bases on two cores, in float32."""
_VALIDATION, _TUNE_MINUTES = 10_000, 3.0
"""Images that a trial is judged on; minutes of tuning a size to a budget in all ways."""
DEVICES = ("elastic", "sparse-training", *TRAININGS)
"""Jobs that only train, and so may run on a GPU; all others measure, and run where the networks are to be fast."""
_FORWARD = 1 / 3
"""What a forward pass takes of a training step."""
_PASSES = 2.2
"""Passes of the largest network that the four networks of an elastic step cost together."""


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        elastic_epochs: Epochs of the elastic model, and of sparse training.
        tune_epochs: Epochs of fine-tuning what was found; the rivals get both together.
        base_epochs: Epochs of the base.
        samples: Trials of a search.
        long: Whether narrowed networks are also trained for the images of the base.
        seeds: Number of seeds.
        batch_size: Images a step.
        elastic_rate: Peak of the learning rate of the elastic model, and of fine-tuning pruned networks.
        tune_rate: Peak of the learning rate of fine-tuning what was found.
        scratch_rate: Peak of the learning rate from scratch.
        weight_decay: Of all trainings.
        data_limit: Most images of each part; None for all.
        shares: The budgets.
        ways: Most ways of pruning that are tuned; None for all.
    """

    elastic_epochs: int = 8
    tune_epochs: int = 8
    base_epochs: int = 20
    samples: int = 50
    long: bool = False
    seeds: int = 2
    batch_size: int = 256
    elastic_rate: float = 0.07
    tune_rate: float = 0.03
    scratch_rate: float = 0.3
    weight_decay: float = 5e-4
    data_limit: int | None = None
    shares: tuple[float, ...] = SHARES
    ways: int | None = None

    def epochs(self, kind: str) -> int:
        """Return the epochs that a training of a kind does itself."""
        both = self.elastic_epochs + self.tune_epochs
        own = {"elastic": self.elastic_epochs, "sparse-training": self.elastic_epochs, "ours": self.tune_epochs}
        return {**own, "sparse": self.tune_epochs, "narrow-long": both + self.base_epochs}.get(kind, both)

    @property
    def trainings(self) -> tuple[str, ...]:
        """Kinds of jobs that end with a network to compare."""
        return tuple(kind for kind in METHODS if self.long or kind != "narrow-long")

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able settings."""
        return {**asdict(self), "shares": list(self.shares)}


SMOKE = Scale(1, 1, 1, 6, True, 1, 64, data_limit=640, shares=(0.5,), ways=1)
"""Everything once, on few images."""


@dataclass(frozen=True)
class Job:
    """One unit of work, with a file of its own.

    Attributes:
        kind: What is done.
        base: Name of the base.
        share: The budget; None where the job is for all of them.
        seed: Seed; None where nothing depends on it.
    """

    kind: str
    base: str
    share: float | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """Name of its file."""
        share = "" if self.share is None else f"-{round(100 * self.share)}"
        return f"{self.base}-{self.kind}{share}{'' if self.seed is None else f'-seed{self.seed}'}"

    def other(self, kind: str, **changes: Any) -> Job:
        """Return the job of another kind for the same base, budget and seed."""
        return replace(self, kind=kind, **changes)


def jobs_of(bases: list[str], scale: Scale) -> list[Job]:
    """Return all jobs; each comes after those that it needs."""
    jobs = []
    for base in bases:
        jobs.append(Job("latency", base))
        jobs += [Job(kind, base, share) for share in scale.shares for kind in ("tune-pruned", "tune-narrow")]
        for seed in range(scale.seeds):
            jobs += [Job("elastic", base, None, seed), Job("sparse-training", base, None, seed)]
            for share in scale.shares:
                jobs += [Job(kind, base, share, seed) for kind in ("search", "tune-sparse", *scale.trainings)]
        jobs.append(Job("measure", base))
    return sorted(jobs, key=lambda job: (bases.index(job.base), job.kind == "measure", job.seed or 0))


def minutes(job: Job, scale: Scale, images: int, rates: Mapping[str, float]) -> float:
    """Return about how long a job takes.

    Args:
        job: The job.
        scale: How much is done.
        images: Images of the train part.
        rates: Train images a second of each base.
    """
    epoch, share = images / rates[job.base] / 60, job.share or 1.0
    epochs = scale.epochs(job.kind) * epoch
    search = scale.samples * _FORWARD * _VALIDATION * share / rates[job.base] / 60
    return {
        "latency": 0.3,
        "tune-pruned": _TUNE_MINUTES,
        "tune-sparse": _TUNE_MINUTES / 2,
        "tune-narrow": _TUNE_MINUTES / 4,
        "elastic": epochs * (_PASSES + _FORWARD),
        "search": search + 3.0,
        "sparse-training": epochs * 1.1,
        "ours": epochs * (share + _FORWARD),
        "pruned": epochs * (share + _FORWARD),
        "sparse": epochs * (share + _FORWARD),
        "measure": 1.0,
    }.get(job.kind, epochs * share)


class Results:
    """The files of finished jobs.

    Args:
        folder: Where they are.
        settings: What all of them depend on.

    Raises:
        SystemExit: The folder holds results with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder, file = folder, folder / "settings.json"
        folder.mkdir(parents=True, exist_ok=True)
        now = json.loads(json.dumps(settings))
        if file.exists():
            before = json.loads(file.read_text(encoding="utf-8"))
            wrong = [name for name in now if before.get(name) != now[name]]
            if wrong:
                name = wrong[0]
                raise SystemExit(
                    f"{folder} holds results with {name} {before.get(name)!r}, not {now[name]!r}; choose another --out"
                )
        write_atomic(file, json.dumps(now, indent=1) + "\n")

    def place(self, job: Job) -> Path:
        """Return the folder for a job's own files."""
        return self.folder / job.name

    def get(self, job: Job) -> dict[str, Any] | None:
        """Return a job's result; None where it is not finished."""
        file = self.folder / f"{job.name}.json"
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def need(self, job: Job) -> dict[str, Any]:
        """Return the result of a job that must be finished."""
        result = self.get(job)
        if result is None:
            raise SystemExit(f"{job.name} must be done first; run it, or leave --only out")
        return result

    def put(self, job: Job, result: Mapping[str, Any]) -> None:
        """Keep a job's result."""
        write_atomic(self.folder / f"{job.name}.json", json.dumps({"job": asdict(job), **result}, indent=1) + "\n")
