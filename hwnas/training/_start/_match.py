"""Tensors of a file by the weights of a space that they start, and what people should know of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas._common._text import first_of
from hwnas._errors import EvaluatorError
from hwnas.spaces import Space
from hwnas.training._cover import extreme_network, largest_parameters
from hwnas.training._start._align import aligned, squeezed
from hwnas.training._start._file import WeightsFile
from hwnas.training._start._layers import Layer
from hwnas.training._start._roles import mobilenetv3_layers
from profilers import NORM_EPSILON, Parameter, expand

FloatArray = npt.NDArray[np.float32]
_SHOWN = 3
_BY_NAMES = "its names"


@dataclass(frozen=True)
class MatchedWeights:
    """What trainings of a space start from.

    Attributes:
        tensors: Tensors of the file by ``"node.parameter"``, with the file's shapes; where a batch norm is folded into
            a convolution in the file, ``"node.bias"`` stands for the norm.
        lines: What matched and what did not, for people.
    """

    tensors: Mapping[str, FloatArray]
    lines: tuple[str, ...]


def match_weights(file: WeightsFile, space: Space) -> MatchedWeights:
    """Find what each weight of a space starts from: by its own name, by names of other libraries, or by structure.

    1. tensors with the space's own names, ``"node.parameter"``, and files that hwnas exported;
    2. MobileNetV3 state dicts of torchvision and timm, for spaces with the names of our MobileNetV3 space;
    3. layers of equal shapes in the order of the network (ResNets of torchvision and timm, ONNX files).

    A classifier of another number of classes is left out.

    Raises:
        EvaluatorError: Nothing matches.
    """
    targets = largest_parameters(space)
    shapes = _node_shapes(space, targets)
    pairs, how = _by_layers(file, shapes)
    tensors = _own_names(file, targets) if how == _BY_NAMES or not pairs else {}
    for node, layer in pairs.items():
        tensors |= _node_tensors(node, layer, targets)
    tensors, notes = _without_misfits(tensors, targets, _classifiers(shapes))
    if not tensors:
        raise EvaluatorError(
            f"--weights {file.source}: none of its {len(file.tensors)} tensors ({_some(file.tensors)}) matches a "
            f"weight of space {space.name} ({_some(targets)}); leave --weights out or name another file"
        )
    return MatchedWeights(tensors, (_summary(file, how, tensors, targets), *notes))


def _node_shapes(space: Space, targets: Mapping[str, Parameter]) -> dict[str, tuple[int, ...]]:
    """Return the shape of the weight of each node, in the order of the largest network; then those of other nodes."""
    names = [node.name for node in expand(space.graph(extreme_network(space, smallest=False))).nodes]
    rest = [name.removesuffix(".weight") for name in targets if name.endswith(".weight")]
    held = set(names)
    ordered = [*(node for node in rest if node not in held), *names]
    return {node: targets[f"{node}.weight"].shape for node in ordered if f"{node}.weight" in targets}


def _own_names(file: WeightsFile, targets: Mapping[str, Parameter]) -> dict[str, FloatArray]:
    """Return tensors that have the names of weights of the space."""
    named = {name.replace("/", "."): array for name, array in file.tensors.items()}
    return {name: array for name, array in named.items() if name in targets}


def _by_layers(file: WeightsFile, shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Layer], str]:
    """Return layers by node, and how they were found: by names if these hold for half of the nodes, else by most."""

    def named(layers: Mapping[str, Layer]) -> dict[str, Layer]:
        """Return the layers of nodes that there are."""
        return {node: layer for node, layer in layers.items() if node in shapes}

    own = named({layer.name.partition(":")[0]: layer for layer in file.layers})
    if 2 * len(own) >= len(shapes):
        return own, _BY_NAMES
    placed, whose = mobilenetv3_layers(file.layers, shapes)
    known = named(placed)
    by_names = (own, _BY_NAMES) if len(own) >= len(known) else (known, f"{whose}'s names of MobileNetV3")
    if 2 * len(by_names[0]) >= len(shapes):
        return by_names
    in_order = aligned(file.layers, shapes, in_order=file.in_order)
    return by_names if len(by_names[0]) >= len(in_order) else (in_order, "the order and shapes of its layers")


def _node_tensors(node: str, layer: Layer, targets: Mapping[str, Parameter]) -> dict[str, FloatArray]:
    """Return the tensors of a layer as a node has them: with a batch norm, a bias, or neither."""
    tensors = dict(layer.tensors)
    if "variance" in tensors:
        tensors["variance"] = np.maximum(tensors["variance"], np.float32(0.0))
    if "variance" in tensors and f"{node}.gamma" not in targets:
        scale = tensors["gamma"] / np.sqrt(tensors["variance"] + np.float32(NORM_EPSILON))
        weight = layer.weight * scale.reshape(-1, *(1,) * (layer.weight.ndim - 1))
        shift = tensors["beta"] - (tensors["mean"] - tensors.get("bias", np.float32(0.0))) * scale
        tensors = {"weight": weight, "bias": shift}
    elif "variance" in tensors and "bias" in tensors:
        tensors["mean"] = tensors["mean"] - tensors.pop("bias")
    if f"{node}.gamma" not in targets and f"{node}.bias" not in targets:
        tensors.pop("bias", None)
    return {f"{node}.{kind}": array for kind, array in tensors.items()}


def _classifiers(shapes: Mapping[str, tuple[int, ...]]) -> set[str]:
    """Return the nodes that give classes: the last one, and those of that name (detectors end with boxes)."""
    return {list(shapes)[-1], *(node for node in shapes if node.rpartition(".")[2] == "classes")}


def _without_misfits(
    tensors: Mapping[str, FloatArray], targets: Mapping[str, Parameter], classifiers: Collection[str]
) -> tuple[dict[str, FloatArray], list[str]]:
    """Return the tensors that their weights can hold, brought to their rank, and notes on the others."""
    kept: dict[str, FloatArray] = {}
    notes, misfits = [], []
    for name, array in tensors.items():
        node = name.rpartition(".")[0]
        want = targets.get(name)
        classes = targets[f"{node}.weight"].shape[0] if node in classifiers else None
        if classes is not None and array.shape[:1] != (classes,):
            if name.endswith(".weight") and array.ndim:
                notes.append(f"weights: {node} has {len(array)} classes in the file and {classes} here; left out")
            continue
        fitted = array if want is None else _of_rank(array, want)
        if fitted is None:
            misfits.append(name)
        else:
            kept[name] = fitted
    if misfits:
        notes.append(f"weights: left out, because their number of axes differs: {_some(misfits)}")
    return kept, notes


def _of_rank(array: FloatArray, parameter: Parameter) -> FloatArray | None:
    """Return a tensor with the number of axes of a weight; None where they differ by more than single taps."""
    if array.ndim == len(parameter.shape):
        return array
    shape = squeezed(array.shape) if array.ndim > 1 else array.shape
    missing = len(parameter.shape) - len(shape)
    return array.reshape(*shape, *(1,) * missing) if missing >= 0 and array.ndim > 1 else None


def _summary(file: WeightsFile, how: str, tensors: Mapping[str, FloatArray], targets: Mapping[str, Parameter]) -> str:
    """Return the line that says what starts from the file and what does not."""
    nodes = {name.removesuffix(".weight") for name in targets if name.endswith(".weight")}
    begun = {name.rpartition(".")[0] for name in tensors}
    others = sorted(nodes - begun)
    text = f"weights: {len(nodes & begun)} of {len(nodes)} layers start from {file.source}, by {how}"
    return f"{text}; random: {_some(others)}" if others else text


def _some(names: Iterable[str]) -> str:
    return first_of([name[:60] for name in names], _SHOWN)
