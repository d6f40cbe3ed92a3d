"""Layers of MobileNetV3 state dicts (torchvision, timm) by the names that our MobileNetV3 space gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from hwnas.training._start._layers import Layer
from profilers import NORM_EPSILON

_TORCHVISION = re.compile(r"features\.([0-9]+)\.block\.([0-9]+)\.(0|fc1|fc2)\Z")
_TORCHVISION_HEAD = re.compile(r"features\.([0-9]+)\.0\Z")
_TORCHVISION_EPSILON = 1e-3
_TIMM = re.compile(r"blocks\.([0-9]+)\.([0-9]+)\.(conv|conv_pw|conv_dw|conv_pwl|se\.conv_reduce|se\.conv_expand)\Z")


@dataclass
class _Block:
    """One inverted residual block: its layers by role, and the stage that it says it belongs to."""

    stage: int | None
    layers: dict[str, Layer] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Channels of its output."""
        return len(self.layers["project"].weight)


def mobilenetv3_layers(layers: Iterable[Layer], nodes: Iterable[str]) -> tuple[dict[str, Layer], str]:
    """Return layers by the node that they belong to in our MobileNetV3 space, and whose names they have.

    Stages follow each other as in the file: a stage of torchvision's begins where the number of channels changes, timm
    numbers them. A first block without expansion is our ``fixed``; a space without one leaves it out.

    Args:
        layers: Layers of a state dict.
        nodes: Names of the space's nodes with weights.

    Returns:
        No layers where they have other names.
    """
    by_name = {layer.name: layer for layer in layers}
    for read, whose in ((_torchvision, "torchvision"), (_timm, "timm")):
        blocks, rest = read(by_name)
        if blocks and "stem" in rest:
            return {**rest, **_placed(blocks, any(node.startswith("fixed.") for node in nodes))}, whose
    return {}, ""


def _torchvision(layers: Mapping[str, Layer]) -> tuple[list[_Block], dict[str, Layer]]:
    """Read ``features.0.0``, ``features.I.block.J.0`` (or ``.fc1``, ``.fc2``), ``features.N.0``, ``classifier.0/3``."""
    parts: dict[int, dict[tuple[int, str], Layer]] = {}
    heads: dict[int, Layer] = {}
    for name, layer in layers.items():
        if (match := _TORCHVISION.match(name)) is not None:
            parts.setdefault(int(match[1]), {})[int(match[2]), match[3]] = layer
        elif (match := _TORCHVISION_HEAD.match(name)) is not None:
            heads[int(match[1])] = layer
    blocks = [block for number in sorted(parts) if (block := _torchvision_block(parts[number])) is not None]
    rest = {"stem": heads.get(0), "head.conv": heads.get(max(heads, default=0)) if len(heads) > 1 else None}
    rest |= {"head.features": layers.get("classifier.0"), "head.classes": layers.get("classifier.3")}
    for block in blocks:
        block.layers = {role: _at_our_epsilon(layer) for role, layer in block.layers.items()}
    return blocks, {node: _at_our_epsilon(layer) for node, layer in rest.items() if layer is not None}


def _torchvision_block(parts: Mapping[tuple[int, str], Layer]) -> _Block | None:
    """Return a block from its parts by position; None where they are no inverted residual."""
    block = _Block(None)
    for (_, kind), layer in sorted(parts.items()):
        if kind != "0":
            block.layers["se.reduce" if kind == "fc1" else "se.expand"] = layer
        elif layer.weight.shape[1] == 1 and layer.weight.ndim == 4:
            block.layers["depthwise"] = layer
        else:
            block.layers["project" if "depthwise" in block.layers else "expand"] = layer
    return block if {"depthwise", "project"} <= set(block.layers) else None


def _at_our_epsilon(layer: Layer) -> Layer:
    """Return a layer whose norm scales as torchvision's does, which adds 1e-3 to the variance."""
    if "variance" not in layer.tensors:
        return layer
    variance = layer.tensors["variance"] + np.float32(_TORCHVISION_EPSILON - NORM_EPSILON)
    return replace(layer, tensors={**layer.tensors, "variance": variance})


def _timm(layers: Mapping[str, Layer]) -> tuple[list[_Block], dict[str, Layer]]:
    """Read ``conv_stem``, ``blocks.S.B.conv_pw`` and so on, ``blocks.N.0.conv``, ``conv_head``, ``classifier``."""
    blocks: dict[tuple[int, int], _Block] = {}
    rest = {"stem": layers.get("conv_stem"), "head.features": layers.get("conv_head")}
    rest["head.classes"] = layers.get("classifier")
    for name, layer in layers.items():
        match = _TIMM.match(name)
        if match is None:
            continue
        stage, number, kind = int(match[1]), int(match[2]), match[3]
        if kind == "conv":
            rest["head.conv"] = layer
        else:
            blocks.setdefault((stage, number), _Block(stage)).layers[kind] = layer
    for block in blocks.values():
        block.layers = _timm_roles(block.layers)
    kept = [block for _, block in sorted(blocks.items()) if {"depthwise", "project"} <= set(block.layers)]
    return kept, {node: layer for node, layer in rest.items() if layer is not None}


def _timm_roles(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return the layers of a block by role; without ``conv_pwl`` it is depthwise separable."""
    point = ("expand", "project") if "conv_pwl" in layers else ("project", "")
    roles = {"conv_pw": point[0], "conv_pwl": point[1], "conv_dw": "depthwise"}
    roles |= {"se.conv_reduce": "se.reduce", "se.conv_expand": "se.expand"}
    return {roles[kind]: layer for kind, layer in layers.items()}


def _placed(blocks: Iterable[_Block], has_fixed: bool) -> dict[str, Layer]:
    """Return the layers of blocks by node."""
    stages: list[list[_Block]] = []
    for block in blocks:
        last = stages[-1][-1] if stages else None
        if last is None or last.stage != block.stage or (block.stage is None and last.channels != block.channels):
            stages.append([])
        stages[-1].append(block)
    placed: dict[str, Layer] = {}
    if stages and "expand" not in stages[0][0].layers:
        first = stages[0].pop(0)
        placed = {f"fixed.{role}": layer for role, layer in first.layers.items()} if has_fixed else {}
    for s, stage in enumerate(stage for stage in stages if stage):
        for b, block in enumerate(stage):
            placed |= {f"stage{s}.block{b}.{role}": layer for role, layer in block.layers.items()}
    return placed
