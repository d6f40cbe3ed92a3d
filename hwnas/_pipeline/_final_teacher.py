"""What the networks of `--finalize distil` learn from."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._train_precision import training_device
from hwnas.evaluators import Evaluator, Trainer
from hwnas.evaluators._precision import score_subnet
from hwnas.spaces import Architecture, Space, float_form, without_precision
from hwnas.training._cover import extreme_network

if TYPE_CHECKING:
    from hwnas.training import Teacher


def has_teacher(evaluator: Evaluator, model: str | None) -> bool:
    """Return whether the networks of a search have a teacher: the model of `--model`, or a supernet's largest network.

    Args:
        evaluator: Makes the full evaluations.
        model: The file of `--model`; None for none.
    """
    return model is not None or (isinstance(evaluator, Trainer) and evaluator.shares_weights)


def supernet_teachers(
    setup: SearchSetup, trainer: Trainer, progress: Callable[[str], None]
) -> Callable[[Architecture], Teacher]:
    """Return a function that gives the teacher of a network: the supernet's largest network that reads the same inputs.

    Args:
        setup: The search; the networks of its evaluator share weights.
        trainer: Trains a teacher to the end, from these weights.
        progress: Receives lines on each teacher when it is first asked for.
    """
    space, task, device = setup.space, setup.task, training_device(setup.run.settings)
    assert task is not None
    largest = float_form(space, extreme_network(without_precision(space), smallest=False))

    @lru_cache
    def teacher(arch: Architecture) -> Teacher:
        """Return a network as a teacher, trained to the end."""
        from hwnas.training import Subnet, Teacher

        shape = "x".join(map(str, space.input_shape(arch)))
        progress(f"teacher: finetune, the largest network of the supernet for {shape} inputs")
        network = Subnet.of_arrays(space.graph(arch), trainer.trained_weights(arch), device)
        value = score_subnet(network, task, "validation", "fp32", device=device)
        progress(f"teacher: {task.metric.text} {task.metric.format(value)} on the validation part")
        return Teacher.of(network)

    return lambda arch: teacher(reading_as(space, largest, arch))


def reading_as(space: Space, network: Architecture, other: Architecture) -> Architecture:
    """Return a network with those choices of another that the shape of its inputs depends on.

    A teacher then sees inputs at the resolution that it was trained with, not enlarged ones.

    Args:
        space: The space of both.
        network: The network that is changed.
        other: Its inputs have the wanted shape; where no valid change leads to it, `network` stays as it is.
    """
    shape = space.input_shape(network)
    codes, theirs = space.encode(network), space.encode(other)
    changed = codes.copy()
    for column in np.flatnonzero(codes != theirs):
        alone = codes.copy()
        alone[column] = theirs[column]
        if space.valid_codes(alone[None])[0] and space.input_shape(space.decode(alone)) != shape:
            changed[column] = theirs[column]
    if not space.valid_codes(changed[None])[0]:
        return network
    found = space.canonical(space.decode(changed))
    return found if space.input_shape(found) == space.input_shape(other) else network
