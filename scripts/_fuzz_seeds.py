"""Small files of every kind that readers meet, for `fuzz_onnx.py`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FloatArray = np.ndarray[Any, np.dtype[np.float32]]
EXTERNAL = "weights.bin"
"""The file beside a mutated one that may be read."""


def _integers(values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.int64)


def _floats(values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.float32)


class _File:
    """An ONNX file that is written node by node."""

    def __init__(self, *shape: int, opset: int = 17) -> None:
        self.shape, self.opset = shape, opset
        self.nodes: list[onnx.NodeProto] = []
        self.stored: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def add(self, op_type: str, *inputs: str | np.ndarray[Any, Any], outputs: int = 1, **attributes: Any) -> str:
        """Append a node; arrays become initialisers. Return the name of the first output."""
        names = [name if isinstance(name, str) else self._store(name) for name in inputs]
        made = [f"t{len(self.nodes)}{'_' * i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op_type, names, made, f"n{len(self.nodes)}", **attributes))
        return made[0]

    def _store(self, value: np.ndarray[Any, Any]) -> str:
        name = f"w{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(value, name))
        return name

    def draw(self, *shape: int) -> FloatArray:
        """Draw positive floats, which may stand for variances, too."""
        return self.rng.uniform(0.1, 1.0, shape).astype(np.float32)

    def model(self, *outputs: str, batch: str = "") -> onnx.ModelProto:
        """Return the model with these outputs."""
        shape = [batch or self.shape[0], *self.shape[1:]]
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "seed", inputs, made, self.stored)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def onnx_seeds() -> list[bytes]:
    """Return the content of ONNX files of several kinds."""
    models = [_residual(), _mobile(), _attention(), _places(), _recurrent(), _branches(), _external(), _old()]
    return [model.SerializeToString() for model in models]


def safetensors_seeds() -> list[bytes]:
    """Return the content of safetensors files."""
    layers = {"conv.weight": ("F32", (4, 3, 3, 3)), "conv.bias": ("F16", (4,)), "fc.weight": ("BF16", (2, 4))}
    entries, data = {}, b""
    for name, (kind, shape) in layers.items():
        content = np.ones(shape, np.float32 if kind == "F32" else np.float16).tobytes()
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    header = json.dumps(entries).encode()
    return [len(header).to_bytes(8, "little") + header + data]


def _conv(file: _File, x: str, inner: int, out: int, **attributes: Any) -> str:
    groups = int(attributes.get("group", 1))
    return file.add("Conv", x, file.draw(out, inner // groups, 3, 3), pads=[1] * 4, **attributes)


def _norm(file: _File, x: str, channels: int) -> str:
    return file.add("BatchNormalization", x, *(file.draw(channels) for _ in range(4)))


def _residual() -> onnx.ModelProto:
    file = _File(1, 3, 16, 16)
    y = file.add("Relu", _norm(file, _conv(file, "x", 3, 8), 8))
    y = file.add("Relu", file.add("Add", _norm(file, _conv(file, y, 8, 8), 8), y))
    y = file.add("MaxPool", y, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    y = file.add("Flatten", file.add("GlobalAveragePool", y))
    return file.model(file.add("Gemm", y, file.draw(5, 8), file.draw(5), transB=1), batch="batch")


def _mobile() -> onnx.ModelProto:
    file = _File(1, 4, 9, 9, opset=13)
    y = _norm(file, _conv(file, "x", 4, 4, group=4, strides=[2, 2]), 4)
    gate = file.add("Clip", file.add("Add", y, _floats([3])), _floats(0), _floats(6))
    y = file.add("Div", file.add("Mul", y, gate), _floats([6]))
    gate = file.add("HardSigmoid", file.add("GlobalAveragePool", y), alpha=0.2)
    y = file.add("Mul", y, gate)
    part = file.add("Split", y, _integers([2, 2]), outputs=2, axis=1)
    y = file.add("Concat", part + "_", part, axis=1)
    return file.model(file.add("Resize", y, "", _floats([1, 1, 2, 2]), mode="nearest", nearest_mode="floor"))


def _attention() -> onnx.ModelProto:
    file = _File(1, 6, 8)
    y = file.add("LayerNormalization", "x", file.draw(8), file.draw(8))
    y = file.add("Add", file.add("MatMul", y, file.draw(8, 8)), file.draw(8))
    keys = file.add("Transpose", file.add("Reshape", y, _integers([0, 0, 2, 4])), perm=[0, 2, 3, 1])
    values = file.add("Transpose", file.add("Reshape", y, _integers([0, 0, 2, 4])), perm=[0, 2, 1, 3])
    scores = file.add("Softmax", file.add("Mul", file.add("MatMul", values, keys), _floats(0.5)))
    y = file.add("Transpose", file.add("MatMul", scores, values), perm=[0, 2, 1, 3])
    y = file.add("Add", file.add("Reshape", y, _integers([0, 0, -1])), "x")
    error = file.add("Add", file.add("Erf", file.add("Div", y, _floats(2**0.5))), _floats(1))
    return file.model(file.add("Mul", file.add("Mul", y, error), _floats(0.5)))


def _places() -> onnx.ModelProto:
    file = _File(2, 8, 6, 6, opset=11)
    shape = file.add("Shape", "x")
    first = file.add("Gather", shape, _integers([0]))
    y = file.add("Slice", "x", _integers([0]), _integers([4]), _integers([1]), _integers([1]))
    y = file.add("ConvTranspose", y, file.draw(4, 3, 2, 2), kernel_shape=[2, 2], strides=[2, 2])
    y = file.add("Pad", y, _integers([0, 0, 1, 1, 0, 0, 1, 1]), _floats(0))
    y = file.add("LRN", _conv(file, y, 3, 4), size=3)
    y = file.add("Add", y, file.add("ConstantOfShape", file.add("Concat", first, _integers([4, 1, 1]), axis=0)))
    top = file.add("TopK", file.add("Flatten", y), _integers([3]), outputs=2)
    return file.model(top)


def _recurrent() -> onnx.ModelProto:
    file = _File(1, 5, 4)
    y = file.add("Transpose", "x", perm=[1, 0, 2])
    y = file.add("LSTM", y, file.draw(1, 12, 4), file.draw(1, 12, 3), file.draw(1, 24), hidden_size=3)
    return file.model(file.add("Transpose", file.add("Squeeze", y, _integers([1])), perm=[1, 0, 2]))


def _branches() -> onnx.ModelProto:
    """A network with control flow in control flow."""
    file, body = _File(1, 4), None
    for depth in range(4):
        output = [helper.make_tensor_value_info(f"b{depth}", TensorProto.FLOAT, None)]
        if body is None:
            inner = [helper.make_node("Relu", ["x"], ["b0"])]
        else:
            inner = [helper.make_node("If", ["c"], [f"b{depth}"], then_branch=body, else_branch=body)]
        body = helper.make_graph(inner, f"body{depth}", [], output)
    chosen = file.add("Cast", file.add("ReduceSum", "x", _integers([0, 1]), keepdims=0), to=TensorProto.BOOL)
    file.nodes.append(helper.make_node("Identity", [chosen], ["c"]))
    return file.model(file.add("If", chosen, then_branch=body, else_branch=body))


def _external() -> onnx.ModelProto:
    model = _residual()
    for tensor in model.graph.initializer[:2]:
        move_out(tensor, {"location": EXTERNAL, "offset": "0", "length": str(len(tensor.raw_data))})
    return model


def move_out(tensor: onnx.TensorProto, entries: Mapping[str, str]) -> None:
    """State that a tensor is stored elsewhere, with these entries."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def _old() -> onnx.ModelProto:
    file = _File(1, 3, 8, 8, opset=9)
    y = file.add("Upsample", _conv(file, "x", 3, 2), _floats([1, 1, 2, 2]))
    y = file.add("Clip", file.add("Slice", y, starts=[0], ends=[1], axes=[1]), min=0.0, max=6.0)
    return file.model(file.add("Softmax", file.add("Flatten", y)))
