"""Whether the networks of a space read a data set's images and find its classes."""

from __future__ import annotations

from hwnas._errors import EvaluatorError, SpaceError
from hwnas.data import BoxData
from hwnas.spaces import Space
from hwnas.tasks._fitting import setting_to_change, some_networks
from latency_tables import Op, OpGraph
from profilers import BOX_VALUES

STRIDES = (8, 16, 32)
"""Pixels of one place of each map of a detector."""


def require_fit(space: Space, data: BoxData) -> None:
    """Refuse networks that do not end in boxes, or read or find something else.

    Raises:
        SpaceError: They do not end in the op ``detections``, or not with maps of strides 8, 16 and 32.
        EvaluatorError: Channels or classes differ.
    """
    for arch in some_networks(space):
        graph = space.graph(arch)
        op = _detections(space, graph)
        side = graph.input_shape[-1]
        levels = tuple(n for stride in STRIDES for n in (side // stride, side // stride))
        if graph.input_shape[-2:] != (side, side) or dict(op.attributes)["levels"] != levels:
            raise SpaceError(
                f"space {space.name}: task detection needs square images and maps of strides 8, 16 and 32; "
                f"its networks have maps of {dict(op.attributes)['levels']} for {graph.input_shape[-2:]} pixels"
            )
        _require(
            space,
            data.name,
            "images have {} channels, the space's networks read {}",
            "image_channels",
            (data.channels, graph.input_shape[0]),
        )
        _require(
            space,
            data.name,
            "{} classes, the space's networks find {}",
            "classes",
            (len(data.classes), op.inputs[0][0] - BOX_VALUES),
        )


def _detections(space: Space, graph: OpGraph) -> Op:
    last = next(node.op for node in graph.nodes if node.name == graph.outputs[0])
    if last.kind != "detections":
        raise SpaceError(f"space {space.name}: its networks find no boxes; task detection needs --space fpn")
    return last


def _require(space: Space, data: str, text: str, setting: str, numbers: tuple[int, int]) -> None:
    if numbers[0] != numbers[1]:
        hint = setting_to_change(space, (setting,), numbers[0], "choose other data, or another space")
        raise EvaluatorError(f"data {data}: {text.format(*numbers)}; {hint}")
