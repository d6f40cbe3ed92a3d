"""The jobs of scripts/cifar10.py at scale full: what there is to do, in which order, and how much it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
from _cifar_baselines import FULL_BASELINES
from _jobs import Phase

from hwnas import HwnasError
from hwnas.spaces import Space, make_space
from profilers import graph_macs

SPACE = "resnet"
METHODS: Mapping[str, Mapping[str, Any]] = {
    "latency": {"minimize": "latency", "measure": "trials"},
    "macs": {"minimize": "macs", "measure": "none"},
    "random": {"minimize": "latency", "measure": "trials", "strategy": "random"},
    "within": {"minimize": "latency", "measure": "trials", "goal": "best", "latency_statistic": "q10"},
}
"""Searches with the same supernet and the same number of samples, and what `hwnas.search` takes for each."""
FRONTS = tuple(name for name, options in METHODS.items() if "goal" not in options)
"""Searches for a front, which serves all goals; each of the others is for one goal."""
REFERENCES = ("ResNet-8", "ResNet-IC02")
"""Baselines as published; their latencies are the limits for all other networks."""
NARROWED = tuple(family for family in FULL_BASELINES if family not in REFERENCES)
"""Baselines at the largest width that is as fast as a reference."""
BEST = "best"
"""The goal without a latency limit."""
REFERENCE = "reference"
"""Marks the times of references with random weights."""
SO_FAR = "so-far"
"""Marks the last jobs where they are done before all networks are trained."""
TRAINED = ("found", "baseline", "plain")
"""Jobs that end with a network to compare."""
_TRAIN, _SEARCH_TRAIN, _VALIDATION = 50_000, 40_000, 10_000
_MACS_A_S = 2.9e10
"""Multiply-accumulates (of the forward pass) a second that a network of dense convolutions is trained with.

This and what follows was measured on one core of an AMD EPYC with bfloat16, beside other work.
"""
_IMAGE_S, _MAC_S = 7.5e-4, 8e-11
"""Seconds that an image takes in the training of a MobileNet, whatever its size, and for each MAC: 815, 494 and 378
images a second at 6.0, 15.9 and 20.8 million."""
_FORWARD = 1 / 3
"""What a forward pass takes of a training step."""
_SMALL = 9 / 16
"""What an image takes in the epochs whose images have three quarters of their height and width."""
_MACS = {"ResNet-8": 12.5e6, "ResNet-IC02": 32.6e6}
_AS_FAST_MACS = {"ResNet-8": 13e6, "ResNet-IC02": 45e6}
"""Multiply-accumulates of networks of the space that are about as fast as a reference."""
_NARROWED_MACS = {"ResNet-8": 3e6, "ResNet-IC02": 16e6}
"""Those of MobileNets."""


@dataclass(frozen=True)
class FullScale:
    """How much is done.

    Attributes:
        epochs: Epochs of the final trainings and of the baselines, over the whole train set.
        supernet_epochs: Epochs of a supernet, over the train set without the validation part.
        samples: Trials of each search.
        seeds: Number of seeds of everything.
        batch_size: Images a step.
        learning_rate: Peak of the learning rate of all trainings.
        weight_decay: Weight decay of all trainings.
        average: Decay of the moving average of the weights, in all trainings of single networks.
        small_first: Share of the epochs with smaller images, in all trainings of single networks (`Recipe`).
        goals: Latency limits of the networks that are chosen from a search: a reference and percent of its latency,
            like ``"ResNet-8-50"``, or ``"best"`` for no limit.
        rival_goals: Those of `goals` that the search on MACs and the random search serve too, and that have a search of
            their own for the best network within the limit.
        narrowed_to: References that MobileNets are narrowed to the latency of.
        rounds: Rounds of the last measurement.
        images: Most images of each part; None for all.

    Raises:
        HwnasError: A goal is unknown.
    """

    epochs: int = 40
    supernet_epochs: int = 12
    samples: int = 100
    seeds: int = 2
    batch_size: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 5e-4
    average: float = 0.999
    small_first: float = 0.6
    goals: tuple[str, ...] = ("ResNet-8-50", "ResNet-8-75", "ResNet-8-100", "ResNet-IC02-75", BEST)
    rival_goals: tuple[str, ...] = ("ResNet-8-100", "ResNet-IC02-75")
    narrowed_to: tuple[str, ...] = ("ResNet-8",)
    rounds: int = 60
    images: int | None = None

    def __post_init__(self) -> None:
        for goal in self.goals:
            base, _, percent = goal.rpartition("-")
            if goal != BEST and (base not in REFERENCES or not percent.isdigit() or int(percent) == 0):
                raise HwnasError(f"goals: each must be {BEST!r} or like 'ResNet-8-50', got {goal!r}")
        for name, values, known in (
            ("rival_goals", self.rival_goals, self.goals),
            ("narrowed_to", self.narrowed_to, REFERENCES),
        ):
            unknown = [value for value in values if value not in known]
            if unknown:
                raise HwnasError(f"{name}: {unknown[0]!r} is none of {', '.join(known)}")
        if BEST in self.rival_goals:
            raise HwnasError(f"rival_goals: {BEST!r} is no latency limit")

    def space(self) -> Space:
        """Make the space that is searched."""
        return make_space(SPACE, classes=10)

    def limit_ms(self, goal: str, times_ms: Mapping[str, float]) -> float:
        """Return the latency limit of a goal.

        Args:
            goal: One of `goals`.
            times_ms: Latencies of the references.
        """
        base, _, percent = goal.rpartition("-")
        return float("inf") if goal == BEST else times_ms[base] * int(percent) / 100


FULL = FullScale()
SMOKE = FullScale(1, 1, 3, 1, 16, goals=("ResNet-8-100", BEST), rival_goals=("ResNet-8-100",), rounds=3, images=48)
"""Everything once, on few images."""


@dataclass(frozen=True)
class Job:
    """One unit of work, with a file of its own.

    Attributes:
        kind: What is done.
        what: A search of `METHODS`, or a baseline; empty where the job is for all.
        goal: The goal of a found network or of a search within one, or the reference that a narrowed baseline is as
            fast as; empty for none.
        seed: Seed; None where nothing depends on it.
    """

    kind: str
    what: str = ""
    goal: str = ""
    seed: int | None = None

    @property
    def name(self) -> str:
        """Name of its file."""
        seed = "" if self.seed is None else f"seed{self.seed}"
        return "-".join(part for part in (self.kind, self.what, self.goal, seed) if part)


def phases_of(scale: FullScale) -> list[Phase[Job]]:
    """Return all jobs in phases; each comes after those that it needs."""
    seeds = range(scale.seeds)
    supernets = [Job("supernet", seed=seed) for seed in seeds]
    baselines = [Job("baseline", family, seed=seed) for family in REFERENCES for seed in seeds]
    baselines += [
        Job("baseline", family, reference, seed)
        for family in NARROWED
        for reference in scale.narrowed_to
        for seed in seeds
    ]
    plain = [Job("plain", REFERENCES[0], seed=seed) for seed in seeds]
    searches = [
        Job("search", method, goal, seed)
        for seed in seeds
        for method in METHODS
        for goal in ([""] if method in FRONTS else scale.rival_goals)
    ]
    found = [
        Job("found", method, goal, seed)
        for seed in seeds
        for method in METHODS
        for goal in scale.goals
        if method == "latency" or goal in scale.rival_goals
    ]
    return [
        Phase([Job("latency")], alone=True),
        Phase([*supernets, *baselines, *plain]),
        Phase(searches, alone=True),
        Phase([Job("pick", seed=seed) for seed in seeds], alone=True),
        Phase(found),
        *(Phase([job], alone=True) for job in last_jobs(so_far=False)),
    ]


def last_jobs(*, so_far: bool) -> list[Job]:
    """Return the jobs that quantise, measure and judge the networks.

    Args:
        so_far: Whether only those networks that are trained.
    """
    return [Job(kind, SO_FAR if so_far else "") for kind in ("int8", "measure", "test")]


def networks_of(scale: FullScale) -> list[Job]:
    """Return the jobs that end with a network to compare."""
    return [job for phase in phases_of(scale) for job in phase.jobs if job.kind in TRAINED]


@cache
def _space_macs(scale: FullScale) -> tuple[float, float, float]:
    """Return multiply-accumulates of the smallest and the median of 31 networks, and of the largest one."""
    space = scale.space()
    macs = sorted(graph_macs(space.graph(arch)) for arch in space.sample(31, np.random.default_rng(0)))
    largest = graph_macs(space.graph(space.decode(np.array([count - 1 for count in space.cardinalities]))))
    return float(macs[0]), float(macs[15]), float(largest)


def minutes(job: Job, scale: FullScale) -> float:
    """Return about how many minutes of one core a job takes."""
    low, middle, high = _space_macs(scale)
    train, search_train, validation = (
        min(scale.images or count, count) for count in (_TRAIN, _SEARCH_TRAIN, _VALIDATION)
    )
    networks = len(networks_of(scale))
    if job.kind == "supernet":
        return scale.supernet_epochs * search_train * (high + low + 2 * middle) / _MACS_A_S / 60
    if job.kind == "search":
        timing = 0.03 if METHODS[job.what]["measure"] == "trials" else 0.0
        return 3.0 + scale.samples * (validation * middle * _FORWARD / _MACS_A_S / 60 + timing)
    if job.kind in TRAINED:
        if job.kind == "found":
            seconds = (high if job.goal == BEST else min(high, scale.limit_ms(job.goal, _AS_FAST_MACS))) / _MACS_A_S
        elif job.goal:
            seconds = _IMAGE_S + _NARROWED_MACS[job.goal] * _MAC_S
        else:
            seconds = _MACS[job.what] / _MACS_A_S
        share = scale.small_first if job.kind != "plain" else 0.0
        return scale.epochs * train * seconds * (1 - share * (1 - _SMALL)) / 60
    return {"int8": 0.05 * networks, "test": 0.2 * networks, "measure": 6.0, "pick": 2.0}.get(job.kind, 1.0)


def core_hours(scale: FullScale) -> float:
    """Return about how many core-hours the whole experiment takes."""
    return sum(minutes(job, scale) for phase in phases_of(scale) for job in phase.jobs) / 60


def settings_of(scale: FullScale) -> dict[str, Any]:
    """Return JSON-able settings."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(scale).items()}
