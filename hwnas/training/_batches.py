"""Batches of a task's samples: to train on, to test on, and to take statistics of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from torch import Tensor

from hwnas.tasks import Part, Shape, Targets, Task
from hwnas.training._recipe import Recipe

Batch = tuple[Tensor, Targets]
IntArray = npt.NDArray[np.int64]

STATISTICS_BATCH = 64
"""Samples at once while statistics are computed: larger batches spend their time on page faults on a CPU."""


class TrainLoader:
    """Augmented batches of the train part; an epoch depends on the seed and its number alone.

    Args:
        task: Gives the samples and augments them.
        recipe: Gives the samples a batch (a smaller rest at the end of an epoch is left out) and the augmentation.
        input_shape: Shape of one sample, as the network reads it.
        device: Where the batches are made.
        chosen: Indices of the train samples to take; None for all.
    """

    def __init__(
        self, task: Task, recipe: Recipe, input_shape: Shape, device: str, chosen: IntArray | None = None
    ) -> None:
        self.task, self.recipe, self.device = task, recipe, device
        self._chosen = chosen
        self.samples = task.size("train") if chosen is None else len(chosen)
        self.batch_size = min(recipe.batch_size, self.samples)
        self._take = task.take_train(input_shape, device)

    def __len__(self) -> int:
        return self.samples // self.batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield batches of inputs ``(B, *input_shape)`` in an order drawn from `rng`, and their targets."""
        order = rng.permutation(self.samples) if self._chosen is None else rng.permutation(self._chosen)
        for step in range(len(self)):
            x, targets = self._take(order[step * self.batch_size : (step + 1) * self.batch_size])
            yield self.task.augment(x, targets, rng, self.recipe.task_settings)


def made_ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield batches, each made in a thread while the one before is used; nothing else may draw what they draw from."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = maker.submit(next, batches, None)
            yield batch


def shape_to_load(task: Task, shapes: Iterable[Shape]) -> Shape:
    """Return the shape to load samples at where networks of several shapes read one batch, by `Task.at_shape`.

    It is the largest one; but samples that are smaller stay as they are: a network that reads them at their own size
    must not see them enlarged and reduced again, because it will never see such images once it is trained.

    Args:
        task: Gives the samples.
        shapes: What the networks read.
    """
    largest, own = max(shapes, key=math.prod), task.input_shape
    smaller = len(own) == len(largest) and all(here <= there for here, there in zip(own, largest, strict=True))
    return own if smaller else largest


def fixed_sample(task: Task, count: int) -> IntArray:
    """Return indices of the first `count` train samples of a fixed shuffle, in its order.

    In the order of the data, which may be that of the classes, a batch would hold one class alone.
    """
    return np.random.default_rng(0).permutation(task.size("train"))[:count]


def sample_batches(task: Task, count: int, input_shape: Shape, device: str = "cpu") -> Iterator[Tensor]:
    """Yield inputs ``(N, *input_shape)`` of `fixed_sample`, without augmentation."""
    chosen = fixed_sample(task, count)
    for part in np.array_split(chosen, math.ceil(len(chosen) / STATISTICS_BATCH)):
        yield task.inputs("train", part, input_shape, device)


def in_batches(task: Task, part: Part, batch_size: int) -> Iterator[slice]:
    """Yield a part in its own order, ``batch_size`` samples at a time; the last batch may be smaller."""
    size = task.size(part)
    for start in range(0, size, batch_size):
        yield slice(start, min(start + batch_size, size))
