"""What the machine reaches at its best, measured beside a model: a large aligned convolution, and a copy of memory."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from profilers._explain._sessions import Store
from profilers._session import ModelSession

CHANNELS, SIZE, KERNEL = 128, 28, 3
BEST_MACS = CHANNELS * CHANNELS * SIZE * SIZE * KERNEL * KERNEL
"""Multiply-accumulates of the large convolution."""
COPIED = 2**22
"""Numbers that the copy reads, and writes."""
COPIED_BYTES = 2 * 4 * COPIED


def best_session(store: Store, *, threads: int) -> ModelSession:
    """Open a session on the large aligned convolution."""
    rng = np.random.default_rng(0)
    weight = (rng.standard_normal((CHANNELS, CHANNELS, KERNEL, KERNEL)) / 34).astype(np.float32)
    store.add("hwnas best", rng.standard_normal((1, CHANNELS, SIZE, SIZE)).astype(np.float32))
    node = helper.make_node("Conv", ["hwnas best", "w"], ["y"], pads=[1, 1, 1, 1])
    shape = (1, CHANNELS, SIZE, SIZE)
    return _session(store, node, "hwnas best", shape, [numpy_helper.from_array(weight, "w")], threads)


def copy_session(store: Store, *, threads: int) -> ModelSession:
    """Open a session that reads and writes more memory than the caches of a core hold."""
    store.add("hwnas copy", np.ones(COPIED, dtype=np.float32))
    node = helper.make_node("Neg", ["hwnas copy"], ["y"])
    return _session(store, node, "hwnas copy", (COPIED,), [], threads)


def _session(
    store: Store,
    node: onnx.NodeProto,
    name: str,
    shape: tuple[int, ...],
    constants: list[onnx.TensorProto],
    threads: int,
) -> ModelSession:
    read = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    written = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "best", [read], [written], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tensors = {name: store.tensor(name)}
    return ModelSession(model.SerializeToString(), tensors, threads=threads)
