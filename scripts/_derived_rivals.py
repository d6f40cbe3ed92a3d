"""What the networks of derived spaces are compared with: pruned by torch-pruning, and uniformly narrowed.

Both are tuned until their *measured* latency keeps a budget: a share of the base's, measured in the same rounds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _derived_bases import FAMILIES, IMAGE, resized, to_onnx
from _derived_training import accuracy, recompute_norms
from torch import Tensor, nn

import hwnas
from hwnas.tasks import Task
from latency_tables import write_atomic

CRITERIA, SCOPES, STEPS = ("taylor", "norm"), ("global", "local"), (4, 8)
"""How torch-pruning ranks channels, whether across layers or within each, and what their numbers are multiples of."""
Way = tuple[str, str, int]
"""Criterion, scope and step."""
WAYS: tuple[Way, ...] = tuple(product(CRITERIA, SCOPES, STEPS))
TAYLOR_IMAGES, TAYLOR_BATCH = 1024, 128
MOST_RATIO = 0.9
"""Largest share of a layer's channels that pruning leaves out."""
REGULARIZATION = 5e-4
"""Of the sparse training, as in torch-pruning's own benchmark on CIFAR-10."""
STEPS_OF_BISECTION = 9
CLOSE = 0.01
"""How far below the budget a latency may stay, relative: the noise of a measurement."""


@dataclass(frozen=True)
class Tuned:
    """A network that keeps a budget.

    Attributes:
        setting: The size that was tuned.
        ratio: Its latency relative to the base's.
    """

    setting: float
    ratio: float


def bisected(
    measure: Callable[[float], float], limit: float, low: float, high: float, steps: int = STEPS_OF_BISECTION
) -> Tuned | None:
    """Return the largest size whose measured latency keeps a limit; None where none of those looked at does.

    Args:
        measure: A size to the latency of its network; larger sizes are slower, but for noise.
        limit: Upper bound of the latency.
        low: Smallest size.
        high: Largest size.
        steps: Most measurements.
    """
    best: Tuned | None = None
    for _ in range(steps):
        size = (low + high) / 2
        value = measure(size)
        if value > limit:
            high = size
            continue
        if best is None or size > best.setting:
            best = Tuned(size, value)
        if value >= limit * (1 - CLOSE):
            break
        low = size
    return best


class Latencies:
    """Latencies of networks relative to the base's, each measured in the same rounds as the base.

    Args:
        base: The base's file.
        folder: Where networks are written for measuring.
        measured: Files to medians, in milliseconds; in place of measuring on this machine.
    """

    def __init__(self, base: Path, folder: Path, measured: Callable[[list[Path]], list[float]] | None = None) -> None:
        self._base, self._file, self._measured = base, folder / "measured.onnx", measured or ranked_ms
        self._known: dict[tuple[Any, ...], float] = {}

    def ratio(self, module: nn.Module) -> float:
        """Return the latency of a network over that of the base; networks of the same extents are measured once."""
        key = tuple(tuple(tensor.shape) for tensor in module.state_dict().values())
        if key not in self._known:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._file, to_onnx(module))
            base, own = self._measured([self._base, self._file])
            self._known[key] = own / base
        return self._known[key]


def ranked_ms(files: list[Path]) -> list[float]:
    """Return the median latency of each file with one thread, all measured in the same rounds."""
    ranking = hwnas.rank(files)
    by_file = {file.file: file.latency_ms for file in ranking.files}
    return [by_file[str(file)] for file in files]


def torch_pruning() -> Any:
    """Return the package torch-pruning."""
    try:
        import torch_pruning as package
    except ImportError:
        raise SystemExit("the comparison needs torch-pruning; run `pip install hwnas[compare]`") from None
    return package


class Pruner:
    """Prunes a base in all the ways that are tried.

    Args:
        family: Name of the base's family.
        state: State dict of the trained base.
        task: Gives images for the first-order criterion, and judges.
        settings: Settings of the loss.
    """

    def __init__(self, family: str, state: Mapping[str, Tensor], task: Task, settings: Mapping[str, Any]) -> None:
        self._family, self._state, self._task, self._settings = family, state, task, settings
        self._gradients: dict[str, Tensor] = {}

    def base(self) -> nn.Module:
        """Return a fresh copy of the base."""
        return resized(self._family, self._state).eval()

    def pruned(self, ratio: float, criterion: str, scope: str, step: int) -> nn.Module:
        """Return the base without a share of its channels.

        Args:
            ratio: Share of the channels to leave out.
            criterion: One of `CRITERIA`.
            scope: One of `SCOPES`.
            step: What numbers of channels are rounded down to multiples of.
        """
        package, module = torch_pruning(), self.base()
        if criterion == "taylor":
            self._add_gradients(module)
            importance = package.importance.GroupTaylorImportance()
        else:
            importance = package.importance.GroupMagnitudeImportance(p=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            package.pruner.BasePruner(
                module,
                torch.zeros(1, *IMAGE),
                importance=importance,
                global_pruning=scope == "global",
                pruning_ratio=ratio,
                max_pruning_ratio=MOST_RATIO,
                round_to=step,
                ignored_layers=[module.classes],
            ).step()
        module.zero_grad()
        return module

    def regularizer(self, module: nn.Module) -> Any:
        """Return the pruner whose regulariser makes a module's groups sparse while it is trained."""
        package = torch_pruning()
        return package.pruner.GroupNormPruner(
            module,
            torch.zeros(1, *IMAGE),
            importance=package.importance.GroupMagnitudeImportance(p=2),
            reg=REGULARIZATION,
            global_pruning=True,
            ignored_layers=[module.classes],
        )

    def _add_gradients(self, module: nn.Module) -> None:
        """Set the gradients of the loss over the first train images, computed once."""
        if not self._gradients:
            self._compute_gradients()
        for name, parameter in module.named_parameters():
            parameter.grad = self._gradients[name].clone()

    def _compute_gradients(self) -> None:
        task, module = self._task, self.base()
        count = min(TAYLOR_IMAGES, task.size("train"))
        for start in range(0, count, TAYLOR_BATCH):
            part = np.arange(start, min(count, start + TAYLOR_BATCH))
            targets = task.to_device(task.targets("train", part), "cpu")
            output = module(task.inputs("train", part, task.input_shape))
            task.loss((output,), targets, self._settings).backward()  # type: ignore[no-untyped-call]
        named = module.named_parameters()
        self._gradients = {name: parameter.grad for name, parameter in named if parameter.grad is not None}

    def tuned(
        self, share: float, latencies: Latencies, say: Callable[[str], None], ways: Sequence[Way] = WAYS
    ) -> tuple[nn.Module, dict[str, Any]]:
        """Return the pruned network that keeps a budget, and how it was pruned.

        Every way is tuned to the budget; the one with the best validation accuracy before any fine-tuning, with batch
        norms of its own, is chosen.

        Args:
            share: The budget: a share of the base's latency.
            latencies: Measures.
            say: Receives a line for each way.
            ways: What to try.
        """
        best: tuple[nn.Module, dict[str, Any]] | None = None
        for way in ways:
            criterion, scope, step = way
            found = bisected(lambda kept, way=way: latencies.ratio(self.pruned(1 - kept, *way)), share, 0.02, 1.0)  # type: ignore[misc]
            if found is None:
                say(f"pruning, {criterion}, {scope}, multiples of {step}: nothing keeps {share:.0%}")
                continue
            module = recompute_norms(self.pruned(1 - found.setting, *way), self._task)
            value = accuracy(module, self._task, "validation")
            say(f"pruning, {criterion}, {scope}, multiples of {step}: {found.ratio:.1%} of the latency, {value:.2%}")
            how = {"criterion": criterion, "scope": scope, "step": step, "pruning_ratio": 1 - found.setting}
            if best is None or value > best[1]["validation_before"]:
                best = module, {**how, "ratio": found.ratio, "validation_before": value}
        if best is None:
            raise SystemExit(f"torch-pruning: no network keeps {share:.0%} of the base's latency")
        return best


def narrowed(family: str, share: float, latencies: Latencies, say: Callable[[str], None]) -> dict[str, Any]:
    """Return width multiplier and step of the uniformly narrowed network that keeps a budget with most parameters."""
    build, best = FAMILIES[family], dict[str, Any]()
    for step in STEPS:
        found = bisected(lambda width, s=step: latencies.ratio(build(width, s)), share, 0.05, 1.0)  # type: ignore[misc]
        if found is None:
            say(f"narrowing, multiples of {step}: nothing keeps {share:.0%}")
            continue
        params = sum(p.numel() for p in build(found.setting, step).parameters())
        say(f"narrowing, multiples of {step}: width {found.setting:.3f}, {found.ratio:.1%} of the latency")
        if params > best.get("params", 0):
            best = {"width": found.setting, "step": step, "ratio": found.ratio, "params": params}
    if not best:
        raise SystemExit(f"{family}: no width keeps {share:.0%} of the base's latency")
    return best
