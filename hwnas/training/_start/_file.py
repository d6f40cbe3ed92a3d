"""`WeightsFile`: the tensors of a safetensors or ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas._errors import EvaluatorError
from hwnas.training._start._layers import Layer, state_dict_layers, unprefixed
from hwnas.training._start._safetensors import parse_safetensors
from latency_tables import read_regular

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights holds.

    Attributes:
        source: The file, as it was named.
        tensors: Its tensors of float32, float16 and bfloat16, as float32, by name.
        layers: Its convolutions and linear layers; in the network's order where the file says it.
        in_order: Whether it does.
    """

    source: str
    tensors: Mapping[str, FloatArray]
    layers: tuple[Layer, ...]
    in_order: bool


def read_weights(path: Path) -> WeightsFile:
    """Read a safetensors or ONNX file of weights; nothing else is run or read.

    Raises:
        EvaluatorError: The file cannot be read, is neither, contradicts itself or holds values that are not finite.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise EvaluatorError(f"--weights {path}: cannot be read ({error.strerror})") from None
    try:
        return parse_weights(content, str(path))
    except ValueError as error:
        raise EvaluatorError(f"--weights {path}: {error}") from None


def parse_weights(content: bytes, source: str) -> WeightsFile:
    """Read the content of a file; `source` names it.

    Raises:
        ValueError: Saying what is wrong with it.
    """
    layers: list[Layer] | None = None
    if content[8:9] == b"{":
        tensors = unprefixed(parse_safetensors(content))
    else:
        from hwnas.training._start._onnx_tensors import parse_onnx

        tensors, layers = parse_onnx(content)
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"tensor {name!r:.80} holds values that are not finite")
    return WeightsFile(
        source, tensors, tuple(state_dict_layers(tensors) if layers is None else layers), layers is not None
    )
