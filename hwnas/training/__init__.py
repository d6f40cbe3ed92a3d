"""Training: weight-sharing supernets, single networks, their metric. Brings torch on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.training._recipe import Recipe, StepProgress, default_recipe, recipe_settings
from hwnas.training._sampling import CostFunction
from hwnas.training._start._digest import weights_digest

if TYPE_CHECKING:
    from hwnas.training._derived import fitted, taylor_scores, with_norm_statistics
    from hwnas.training._loop import compute_threads, cycle_of, learning_rate, make_optimizer
    from hwnas.training._network import computed_graphs, require_readable, train_network
    from hwnas.training._precision import computing, native_precision, usual_precision
    from hwnas.training._quantized import quantized, score_quantized
    from hwnas.training._score import OnnxNetwork, judge_onnx, score_network, score_onnx
    from hwnas.training._start._file import WeightsFile, parse_weights, read_weights
    from hwnas.training._start._match import MatchedWeights, match_weights
    from hwnas.training._start._networks import StartingNetworks
    from hwnas.training._subnet import Subnet
    from hwnas.training._supernet import Supernet
    from hwnas.training._supernet_training import train_supernet
    from hwnas.training._teacher import Teacher

_LAZY = {
    "MatchedWeights": "_start._match",
    "StartingNetworks": "_start._networks",
    "Subnet": "_subnet",
    "Supernet": "_supernet",
    "Teacher": "_teacher",
    "WeightsFile": "_start._file",
    "compute_threads": "_loop",
    "computing": "_precision",
    "cycle_of": "_loop",
    "fitted": "_derived",
    "judge_onnx": "_score",
    "learning_rate": "_loop",
    "make_optimizer": "_loop",
    "match_weights": "_start._match",
    "parse_weights": "_start._file",
    "native_precision": "_precision",
    "quantized": "_quantized",
    "read_weights": "_start._file",
    "OnnxNetwork": "_score",
    "score_network": "_score",
    "score_onnx": "_score",
    "score_quantized": "_quantized",
    "taylor_scores": "_derived",
    "computed_graphs": "_network",
    "require_readable": "_network",
    "train_network": "_network",
    "train_supernet": "_supernet_training",
    "usual_precision": "_precision",
    "with_norm_statistics": "_derived",
}

__all__ = [
    "CostFunction",
    "MatchedWeights",
    "OnnxNetwork",
    "Recipe",
    "StartingNetworks",
    "StepProgress",
    "Subnet",
    "Supernet",
    "Teacher",
    "WeightsFile",
    "compute_threads",
    "computed_graphs",
    "computing",
    "cycle_of",
    "default_recipe",
    "fitted",
    "judge_onnx",
    "learning_rate",
    "make_optimizer",
    "match_weights",
    "native_precision",
    "parse_weights",
    "quantized",
    "read_weights",
    "recipe_settings",
    "require_readable",
    "score_network",
    "score_onnx",
    "score_quantized",
    "taylor_scores",
    "train_network",
    "train_supernet",
    "usual_precision",
    "weights_digest",
    "with_norm_statistics",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'hwnas.training' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"hwnas.training.{_LAZY[name]}"), name)
