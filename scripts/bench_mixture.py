"""Time and memory of a training step of a mixture against one of its largest network.

    python scripts/bench_mixture.py [--batch 32] [--repeats 9] [--json docs/results/mixture.json]

A step is a forward and a backward pass. Steps of both take turns, and medians are compared. Memory is that of the
tensors that the forward pass keeps for the backward pass, without the shared weights.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import Tensor

from hwnas.oneshot import Mixture, uniform
from hwnas.spaces import ChoiceGraph, ChoiceGraphSpace, make_space
from hwnas.training import Supernet
from latency_tables import write_atomic
from profilers import ops

Step = Callable[[], Tensor]


class Widths(ChoiceGraphSpace):
    """A stem and six 3x3 convolutions, each with 16 widths; nothing else is a choice."""

    name = "widths"

    def state(self) -> ChoiceGraph:
        """State a stem, the convolutions and a classifier."""
        graph = ChoiceGraph()
        x = graph.add("stem", ops.conv, graph.read(3, 32, 32), channels=32, kernel=3, act="relu")
        for number in range(6):
            width = graph.choice(f"width{number}", tuple(range(4, 68, 4)))
            stride = 2 if number % 2 else 1
            x = graph.add(f"conv{number}", partial(ops.conv, stride=stride), x, channels=width, kernel=3, act="relu")
        return graph.finish(graph.add("classes", ops.linear, graph.add("pool", ops.global_pool, x), features=10))


def steps_of(supernet: Supernet, batch: int) -> dict[str, Step]:
    """Return the forward passes of the largest network and of the mixture with uniform probabilities."""
    space, largest, mixture = supernet.space, supernet.largest, Mixture(supernet)
    x = torch.randn(batch, *space.input_shape(largest))
    distribution = [vector.requires_grad_() for vector in uniform(space, dtype=torch.float32)]
    codes = space.encode(largest)
    sampled = {column: int(codes[column]) for column in mixture.sampled}
    return {
        "largest": lambda: supernet(x, largest),
        "mixture": lambda: mixture(x, distribution, sampled),
    }


def kept_mib(step: Step, supernet: Supernet) -> float:
    """Return the MiB that a forward pass keeps for the backward pass, each storage once, weights left out."""
    weights = {weight.untyped_storage().data_ptr() for weight in supernet.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights) / 2**20


def measure(name: str, space: ChoiceGraphSpace, batch: int, repeats: int) -> dict[str, object]:
    """Measure both steps on one space and print a line."""
    supernet = Supernet(space)
    steps = steps_of(supernet, batch)
    seconds: dict[str, list[float]] = {kind: [] for kind in steps}
    for repeat in range(repeats + 1):
        for kind, step in steps.items():
            began = time.perf_counter()
            step().square().mean().backward()
            if repeat:  # the first one plans and warms up
                seconds[kind].append(time.perf_counter() - began)
    ms = {kind: 1000 * float(np.median(values)) for kind, values in seconds.items()}
    mib = {kind: kept_mib(step, supernet) for kind, step in steps.items()}
    ratios = {"time_ratio": ms["mixture"] / ms["largest"], "memory_ratio": mib["mixture"] / mib["largest"]}
    print(
        f"{name:<18}{ms['largest']:>11.1f}{ms['mixture']:>11.1f}{ratios['time_ratio']:>7.2f}"
        f"{mib['largest']:>11.1f}{mib['mixture']:>11.1f}{ratios['memory_ratio']:>7.2f}",
        flush=True,
    )
    return {"space": name, "batch": batch, "step_ms": ms, "kept_mib": mib, **ratios}


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tiny = make_space("mobilenetv3", preset="tiny")
    if not isinstance(tiny, ChoiceGraphSpace):
        raise TypeError("space mobilenetv3 is not stated as a choice graph")
    print(f"{'space':<18}{'largest ms':>11}{'mixture ms':>11}{'':>7}{'MiB':>11}{'MiB':>11}")
    spaces = {"16 widths": Widths(), "mobilenetv3 tiny": tiny}
    rows = [measure(name, space, args.batch, args.repeats) for name, space in spaces.items()]
    if args.json:
        write_atomic(args.json, json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
