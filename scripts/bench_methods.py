"""Compare search methods that train for real: LaMOO over a supernet, one-shot methods, random search, narrowing.

    scripts/bench_methods.py mobilenetv3 --data CIFAR10 --runs FOLDER -o mobilenetv3.json
    scripts/bench_methods.py nasbench201 --data CIFAR10 --runs FOLDER -o nasbench201.json

The yardstick is the largest network of the space; the limits are shares of its measured latency. Each method searches
for each limit, with a supernet that sees the train part equally often (`--search-epochs`). A step of LaMOO's and random
search's supernet passes its images through four networks, one of a one-shot method through one: the core-seconds say
what each cost. Narrowing scales all channels of the largest network. What was found and what was narrowed is then
trained from scratch with one recipe.

Every job has a file of its own below ``--runs``; the script can be killed at any moment and started again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _task_comparison import Arm, Experiment, Scale, Setup, run_command

from hwnas.spaces import Space
from hwnas.spaces import make_space as space_of
from hwnas.tasks import make_task
from latency_tables import OpGraph

METHODS: Mapping[str, Mapping[str, Any]] = {
    "lamoo": {"strategy": "lamoo", "samples": 60},
    "random": {"strategy": "random", "samples": 60},
    "drnas": {"strategy": "drnas", "samples": 12},
    "dmasking": {"strategy": "dmasking", "samples": 12},
    "ddpnas": {"strategy": "ddpnas", "samples": 12},
}
"""Options of each method's search; a one-shot method's first trials are what it found."""
SHARING = ("lamoo", "random")
"""Methods whose networks are subnets of a supernet that knows nothing of the method: one is trained for both."""
IMAGES, CLASSES = 4000, 10
"""Images of the train part (a quarter validates), and the classes."""


@dataclass(frozen=True)
class Family:
    """A space, and networks of its largest member's shape by a factor of their channels.

    Attributes:
        space: The space.
        narrowed: Returns the narrowed network.
        factors: Factors to compare with; 1 is the yardstick.
        shares: Limits, as shares of the yardstick's measured latency: a little over those of the narrowed networks.
    """

    space: Callable[[], Space]
    narrowed: Callable[[float], OpGraph]
    factors: tuple[float, float, float]
    shares: tuple[float, float]


def _mobilenet(width: Sequence[float] = (0.5, 0.75, 1.0)) -> Space:
    return space_of("mobilenetv3", preset="tiny", classes=CLASSES, image_channels=3, resolution=[16], width=[*width])


def _narrow_mobilenet(factor: float) -> OpGraph:
    """Scale the channels of the network with all choices at their largest value."""
    return _largest(_mobilenet([factor]))


def _cells(channels: int = 16) -> Space:
    return space_of("nasbench201", image_size=32, cells=1, channels=channels, classes=CLASSES)


def _narrow_cells(factor: float) -> OpGraph:
    """Scale the channels of the cell whose every edge is a 3x3 convolution."""
    space = _cells(round(16 * factor))
    nodes = ("|" + "|".join(f"nor_conv_3x3~{source}" for source in range(node)) + "|" for node in (1, 2, 3))
    return space.graph(space.parse("+".join(nodes)))


def _largest(space: Space) -> OpGraph:
    return space.graph(space.decode([len(choice.values) - 1 for choice in space.choices]))


FAMILIES = {
    "mobilenetv3": Family(_mobilenet, _narrow_mobilenet, (1.0, 0.5, 0.25), (0.58, 0.44)),
    "nasbench201": Family(_cells, _narrow_cells, (1.0, 0.5, 0.25), (0.46, 0.26)),
}


def methods(name: str) -> Experiment:
    """Return the comparison of all methods on a space."""
    family = FAMILIES[name]

    def setup(data: str, seed: int) -> Setup:
        space = family.space()
        arms = {}
        for method, options in METHODS.items():
            for share in family.shares:
                own = {} if method in SHARING else {"evaluator": "supernet"}
                supernet = "supernet" if method in SHARING else None
                arms[f"{method} {share:g}"] = Arm(method, space, {**own, **options}, (share,), supernet)
        rivals = {f"width {factor:g}": family.narrowed(factor) for factor in family.factors}
        return Setup(make_task("image", data, limit=IMAGES, seed=seed), arms, rivals)

    return Experiment(setup, Scale(family.shares, samples=60, search_epochs=8, epochs=24, finalists=1))


EXPERIMENTS = {name: methods(name) for name in FAMILIES}


if __name__ == "__main__":
    run_command(__doc__, EXPERIMENTS)
