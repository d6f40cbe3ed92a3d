"""`Layer`: a convolution or linear layer of a file of weights, with the batch norm that follows it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

NORM = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}
"""PyTorch's names of a batch norm's tensors, and ours."""
_TIMM_NORMS = (
    {"conv_pw": "bn1", "conv_dw": "bn2", "conv_pwl": "bn3"},  # inverted residual
    {"conv_dw": "bn1", "conv_pw": "bn2"},  # depthwise separable
    {"conv": "bn1"},
)
"""Which norm follows which convolution in timm's blocks, the largest kind of block first."""


@dataclass(frozen=True)
class Layer:
    """A layer with weights.

    Attributes:
        name: Its name in the file.
        tensors: ``weight``, and ``bias``, ``gamma``, ``beta``, ``mean`` and ``variance`` where it has them.
    """

    name: str
    tensors: Mapping[str, FloatArray]

    @property
    def weight(self) -> FloatArray:
        """The tensor of at least two axes."""
        return self.tensors["weight"]


def state_dict_layers(tensors: Mapping[str, FloatArray]) -> list[Layer]:
    """Return the layers of a PyTorch state dict, in the natural order of their names.

    A batch norm belongs to the convolution that its name says it follows: ``bn1`` to ``conv1``, ``0.1`` to ``0.0``, and
    as timm names them in its blocks.
    """
    norms = {name.removesuffix(".running_var") for name in tensors if name.endswith(".running_var")}
    modules = [name.removesuffix(".weight") for name, array in tensors.items() if _is_weight(name, array)]
    siblings = {module.rpartition(".")[0]: set[str]() for module in modules}
    for module in modules:
        siblings[module.rpartition(".")[0]].add(module.rpartition(".")[2])
    layers = []
    for module in sorted(modules, key=natural):
        names = {kind: f"{module}.{kind}" for kind in ("weight", "bias") if f"{module}.{kind}" in tensors}
        norm = _norm_after(module, siblings[module.rpartition(".")[0]], norms)
        if norm is not None and tensors[f"{norm}.running_var"].size == len(tensors[names["weight"]]):
            names |= {own: f"{norm}.{theirs}" for theirs, own in NORM.items() if f"{norm}.{theirs}" in tensors}
        layers.append(Layer(module, consistent({kind: tensors[name] for kind, name in names.items()})))
    return layers


def consistent(tensors: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the tensors of a layer that fit its weight: one value for each output channel, and a norm as a whole."""
    channels = tensors["weight"].shape[:1]
    fitting = {kind: array for kind, array in tensors.items() if kind == "weight" or array.shape == channels}
    whole = set(NORM.values()) <= set(fitting)
    return {kind: array for kind, array in fitting.items() if whole or kind not in NORM.values()}


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Return a sort key by which ``layer1.10`` follows ``layer1.9``."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", name))


def unprefixed(tensors: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return tensors without the prefix that a wrapper gave all of them, like ``module.`` or ``model.``."""
    for prefix in ("module.", "model.", "state_dict.", "_orig_mod."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            return unprefixed({name.removeprefix(prefix): array for name, array in tensors.items()})
    return dict(tensors)


def _is_weight(name: str, array: FloatArray) -> bool:
    return name.endswith(".weight") and array.ndim >= 2


def _norm_after(module: str, siblings: Iterable[str], norms: set[str]) -> str | None:
    """Return the batch norm that follows a convolution; None where the names tell of none."""
    parent, _, last = module.rpartition(".")
    places = []
    if last.isdigit():
        places.append(str(int(last) + 1))
    for block in _TIMM_NORMS:
        if set(block) <= set(siblings) and last in block:
            places.append(block[last])
            break
    places += [last.replace("conv", "bn"), last.replace("conv", "norm")] if "conv" in last else []
    places += ["bn1"] if last == "conv_stem" else []
    for place in places:
        norm = f"{parent}.{place}" if parent else place
        if norm in norms:
            return norm
    return None
