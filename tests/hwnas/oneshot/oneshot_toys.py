"""Small spaces, tables and distributions that the tests of one-shot methods share."""

from functools import cache

import numpy as np
import torch
from derived_models import resnet
from made_tables import made_table

from hwnas._costs._space_costs import SpaceCosts
from hwnas.spaces import ChoiceGraph, ChoiceGraphSpace, DerivedSpace, make_space
from profilers import ops


class Stairs(ChoiceGraphSpace):
    """486 architectures with a shared width, a depth, kernels, and a cell that may have no path."""

    name = "stairs"

    def state(self):
        graph = ChoiceGraph()
        width = graph.choice("width", (8, 16, 24))
        x = graph.add("stem", ops.conv, graph.read(3, 8, 8), channels=width, kernel=3, act="relu")
        depth = graph.choice("depth", (1, 2, 3))
        for number in range(3):
            x = graph.add(
                f"block{number}",
                ops.conv,
                x,
                when=(depth, lambda value, number=number: number < value),
                channels=width,
                kernel=graph.choice(f"kernel{number}", (1, 3, 5)),
                act="relu",
            )
        pool = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, pool, features=graph.choice("features", (10, 20))))


class Holes(ChoiceGraphSpace):
    """Two edges, each a convolution, the input or nothing: where both are nothing there is no network."""

    name = "holes"

    def state(self):
        graph = ChoiceGraph()
        x = graph.add("stem", ops.conv, graph.read(3, 8, 8), channels=8, kernel=3, act="relu")
        edges = []
        for name in ("left", "right"):
            choice = graph.choice(name, ("conv", "skip", "none"))
            conv = {"conv": _conv(x), "skip": x, "none": None}
            edges.append(graph.choose(f"{name}.edge", choice, conv))
        x = graph.sum("sum", *edges)
        x = graph.add("pool", ops.global_pool, x)
        return graph.finish(graph.add("classes", ops.linear, x, features=10))


def _conv(x):
    from hwnas.spaces import Make

    return Make(ops.conv, x, channels=8, kernel=3, act="relu")


MAKERS = {
    "stairs": Stairs,
    "holes": Holes,
    "mobilenetv3": lambda: make_space("mobilenetv3", resolution=[8, 16], width=[0.5, 1.0]),
    "convnet1d": lambda: make_space("convnet1d", length=1000),
    "unet": lambda: make_space("unet"),
    "derived": lambda: DerivedSpace(resnet(2, (8, 16, 32), 16)),
}


@cache
def space_named(name):
    return MAKERS[name]()


@cache
def table_of(name, sides=None):
    return made_table(space_named(name), sides)


@cache
def costs_of(name, sides=None):
    return SpaceCosts(space_named(name), table_of(name, sides))


def drawn(space, seed, *, requires_grad=False):
    """A random distribution; some of its values are improbable, none impossible."""
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.dirichlet(np.ones(n)), requires_grad=requires_grad) for n in space.cardinalities]
