"""The ONNX nodes of `Detections`: static shapes all the way, for any batch size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from latency_tables import Op
from profilers._operators._map_places import (
    BOX_VALUES,
    CLASS_STEP,
    DETECTION_VALUES,
    LARGEST_LOG_DISTANCE,
    levels_of,
    place_boxes,
)


class _Body:
    """Nodes and constants under names of their own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Append a node; return its first output (TopK has a second, with ``_1`` behind its name)."""
        name = f"n{len(self.nodes)}"
        outputs = [name, f"{name}_1"] if kind == "TopK" else [name]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))  # type: ignore[arg-type]
        return name

    def floats(self, values: npt.ArrayLike) -> str:
        """Store float32 numbers."""
        return self._store(np.asarray(values, dtype=np.float32))

    def integers(self, *values: int) -> str:
        """Store a list of 64-bit integers."""
        return self._store(np.array(values, dtype=np.int64))

    def part(self, tensor: str, start: int, end: int, axis: int) -> str:
        """Cut a part out of a tensor."""
        return self.node("Slice", tensor, *map(self.integers, (start, end, axis)))

    def rows(self, tensor: str, places: str) -> str:
        """Take rows ``(n, k)`` of a tensor ``(n, rows, ...)``, sample by sample."""
        return self.node("GatherND", tensor, self.node("Unsqueeze", places, self.integers(-1)), batch_dims=1)

    def _store(self, array: npt.NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def detections_body(op: Op) -> onnx.GraphProto:
    """Return the graph from the tensor ``raw`` ``(n, classes + 5, places)`` to detections ``(n, most, 6)``."""
    body, (rows, places), most = _Body(), op.inputs[0], op.output[0]
    classes = rows - BOX_VALUES
    chance = body.node("Sigmoid", body.part("raw", 0, classes, 1))
    centred = body.node("Sigmoid", body.part("raw", classes + 4, rows, 1))
    scores = body.node("Sqrt", body.node("Mul", chance, centred))
    flat = body.node("Reshape", scores, body.integers(0, -1))
    top = body.node("TopK", flat, body.integers(op.integer("candidates")))
    label = body.node("Div", f"{top}_1", body.integers(places))
    place = body.node("Sub", f"{top}_1", body.node("Mul", label, body.integers(places)))
    word = body.node("Cast", label, to=TensorProto.FLOAT)
    boxes = body.rows(_boxes(body, op, classes), place)
    kept = _kept(body, op, boxes, word, top)
    best = body.node("TopK", kept, body.integers(most))
    there = body.node("Unsqueeze", body.node("Sign", best), body.integers(2))
    found = body.node("Mul", body.rows(boxes, f"{best}_1"), there)
    named = body.node("Unsqueeze", body.node("GatherElements", word, f"{best}_1", axis=1), body.integers(2))
    score = body.node("Unsqueeze", best, body.integers(2))
    result = body.node("Concat", found, score, body.node("Mul", named, there), axis=2)
    read = helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["n", rows, places])
    written = helper.make_tensor_value_info(result, TensorProto.FLOAT, ["n", most, DETECTION_VALUES])
    return helper.make_graph(body.nodes, "detections", [read], [written], body.constants)


def _boxes(body: _Body, op: Op, classes: int) -> str:
    """Decode the boxes of all places, ``(n, places, 4)``."""
    centres, steps = map(body.floats, place_boxes(levels_of(op)))
    logs = body.node("Clip", body.part("raw", classes, classes + 4, 1), "", body.floats(LARGEST_LOG_DISTANCE))
    distances = body.node("Transpose", body.node("Exp", logs), perm=[0, 2, 1])
    sides = body.node("Add", centres, body.node("Mul", distances, steps))
    return body.node("Clip", sides, body.floats(0.0), body.floats(1.0))


def _kept(body: _Body, op: Op, boxes: str, word: str, top: str) -> str:
    """Return the scores ``(n, candidates)`` of the boxes that are kept, 0 for the others."""
    moved = body.node("Unsqueeze", body.node("Mul", word, body.floats(CLASS_STEP)), body.integers(2))
    apart = body.node("Add", boxes, moved)
    of_one_class = body.node("Unsqueeze", top, body.integers(1))
    chosen = body.node(
        "NonMaxSuppression",
        apart,
        of_one_class,
        body.integers(op.output[0]),
        body.floats([op.integer("iou") / 100]),
        body.floats([op.integer("score") / 100]),
    )
    count = body.part(body.node("Shape", chosen), 0, 1, 0)
    one = numpy_helper.from_array(np.ones(1, dtype=np.float32))
    ones = body.node("ConstantOfShape", count, value=one)
    nothing = body.node("Mul", of_one_class, body.floats(0.0))
    mask = body.node("ScatterND", nothing, chosen, ones)
    return body.node("Squeeze", body.node("Mul", of_one_class, mask), body.integers(1))
