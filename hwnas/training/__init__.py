"""Training: weight-sharing supernets, single networks, their metric. Brings torch on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.training._recipe import Recipe, StepProgress, default_recipe, recipe_settings
from hwnas.training._sampling import CostFunction

if TYPE_CHECKING:
    from hwnas.training._derived import fitted, taylor_scores, with_norm_statistics
    from hwnas.training._network import train_network
    from hwnas.training._quantized import quantized
    from hwnas.training._score import score_network, score_onnx
    from hwnas.training._subnet import Subnet
    from hwnas.training._supernet import Supernet
    from hwnas.training._supernet_training import train_supernet

_LAZY = {
    "Subnet": "_subnet",
    "Supernet": "_supernet",
    "fitted": "_derived",
    "quantized": "_quantized",
    "score_network": "_score",
    "score_onnx": "_score",
    "taylor_scores": "_derived",
    "train_network": "_network",
    "train_supernet": "_supernet_training",
    "with_norm_statistics": "_derived",
}

__all__ = [
    "CostFunction",
    "Recipe",
    "StepProgress",
    "Subnet",
    "Supernet",
    "default_recipe",
    "fitted",
    "quantized",
    "recipe_settings",
    "score_network",
    "score_onnx",
    "taylor_scores",
    "train_network",
    "train_supernet",
    "with_norm_statistics",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'hwnas.training' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hwnas.training.{_LAZY[name]}"), name)
