"""The jobs of the comparison of derived spaces: what there is to do, in which order, and how much it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

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
        space: Options of the derived space, as ``--space-option`` takes them; what they leave open follows from each
            budget, as in `hwnas search`.
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
    space: tuple[str, ...] = ()

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
        """Return JSON-able settings: all but those that add jobs and change none of the others."""
        settings = {**asdict(self), "shares": list(self.shares), "space": list(self.space)}
        adding = ("seeds", "long", "base_epochs")
        return {name: value for name, value in settings.items() if name not in adding}


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
        jobs += [Job(kind, base, share) for share in scale.shares for kind in ("space", "tune-pruned", "tune-narrow")]
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
        "space": 0.1,
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
