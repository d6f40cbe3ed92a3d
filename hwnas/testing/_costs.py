"""What every cost must keep: people's texts are read back, and the values of terms make that of the network."""

from __future__ import annotations

import math

import numpy as np

from hwnas._costs._cost import Cost, require_usable
from hwnas.spaces import Architecture, Space, make_space
from hwnas.testing._require import errors_as_faults, require, require_close

_BATCHES = (1, 3)
_LOOKS = 10
_WRITTEN = 1e-2
"""Relative difference of a value and what people read of it."""


def check_cost(cost: Cost, *spaces: Space) -> None:
    """Check a cost on networks; it is not registered by that.

    Its name must be free, `format` must write what `parse` reads, its values must be finite numbers of 0 or more, and
    the values of a network's terms must combine to that of the network.

    Args:
        cost: The cost.
        *spaces: Spaces whose networks it is computed of; by default a small one of each kind that hwnas has.

    Raises:
        AssertionError: The cost breaks the contract.
    """
    with errors_as_faults():
        require_usable(cost)
        require(
            cost.combine in ("sum", "max"), f"cost {cost.name}: combine must be 'sum' or 'max', got {cost.combine!r}"
        )
        for space in spaces or _small_spaces():
            for arch in space.sample(_LOOKS, np.random.default_rng(0)):
                for batch in _BATCHES:
                    for precision in ("fp32", "int8") if cost.at_precision else ("fp32",):
                        _check_value(cost, space, arch, batch, precision)


def _small_spaces() -> tuple[Space, ...]:
    cells = make_space("nasbench201", image_size=8, cells=1, channels=4)
    return cells, make_space("mobilenetv3", resolution=[8, 16], width=[0.5, 1.0])


def _check_value(cost: Cost, space: Space, arch: Architecture, batch: int, precision: str) -> None:
    where = f"cost {cost.name}: {space.name} {space.format(arch)}"
    value = cost.value(space.graph(arch), batch, precision)
    number = isinstance(value, int | float | np.number) and math.isfinite(value) and value >= 0
    require(number, f"{where}: its value must be a finite number of 0 or more, got {value!r}")
    require(not cost.whole or value == int(value), f"{where}: its value is whole (`whole`), got {value!r}")
    require(cost.written_cell(value), f"{where}: a report needs a text for the value {value:g}")
    if value > 0:
        text = cost.format(value)
        require_close(
            cost.parse(text) / value, 1.0, _WRITTEN, f"{where}: {value:g} is written {text} and not read back"
        )
    graphs = [graph for term in space.terms if (graph := space.term_graph(term, arch)) is not None]
    parts = [cost.value(graph, batch, precision) for graph in graphs]
    combined = sum(parts) if cost.combine == "sum" else max(parts)
    require(
        math.isclose(combined, value, rel_tol=1e-9),
        f"{where}: the values of its terms have the {cost.combine} {combined:g}, its graph has {value:g}; set combine, "
        "or choose a cost that follows from the parts of a network",
    )
