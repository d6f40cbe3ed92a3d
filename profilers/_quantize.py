"""Static int8 quantisation of ONNX models (QDQ form) with ONNX Runtime's own quantiser.

Profiled blocks and delivered networks go through the same function, so what is measured is built like what is
delivered. onnx and onnxruntime are imported when needed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from profilers._errors import OperatorError
from profilers._operators._base import FLOAT_ONLY

if TYPE_CHECKING:
    import onnx

FloatArray = npt.NDArray[np.float32]
Range = tuple[float, float]
ASSUMED_RANGE: Range = (-3.0, 3.0)
"""Range of every tensor where only time matters: the time of int8 kernels does not depend on the scales."""


def quantize_model(
    model: onnx.ModelProto, ranges: Mapping[str, Range] | None = None, *, nodes: Collection[str] | None = None
) -> onnx.ModelProto:
    """Make a copy of a float model with int8 weights (per channel) and uint8 activations between Q and DQ nodes.

    Args:
        model: A model from `build_onnx`.
        ranges: Smallest and largest value of each tensor (`tensor_ranges`); None assumes `ASSUMED_RANGE` for all.
        nodes: Names of the primitive nodes to quantise (`int8_nodes`); the others stay in float32, and every tensor
            between the two has its Q and DQ nodes. None quantises all that ONNX Runtime can.

    Raises:
        OperatorError: The range of a tensor is missing, or int8 and float32 nodes read the same tensor.
    """
    import onnx

    from profilers._session import runtime

    runtime()  # turns its telemetry off before its parts are imported
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    inferred = onnx.shape_inference.infer_shapes(model)
    chosen = _chosen(model, nodes)
    if nodes is not None and not chosen:
        return inferred
    data = {
        name: TensorData(
            lowest=np.array(low, dtype=np.float32),
            highest=np.array(high, dtype=np.float32),
        )
        for name in _tensor_names(inferred)
        for low, high in [ASSUMED_RANGE if ranges is None else _known_range(ranges, name)]
    }
    quantizer = QDQQuantizer(
        inferred,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=chosen,
        nodes_to_exclude=[node.name for node in model.graph.node if node.doc_string == FLOAT_ONLY],
        op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry} - {"BatchNormalization"}),
        extra_options={},
    )
    for tensor in _borders(inferred.graph, set(chosen)) if chosen else ():
        quantizer.quantize_activation_tensor(tensor)
    quantizer.quantize_model()
    result: onnx.ModelProto = quantizer.model.model
    _sort_nodes(result.graph)
    onnx.helper.set_model_props(result, {item.key: item.value for item in model.metadata_props})
    return result


def tensor_ranges(
    model: onnx.ModelProto, samples: FloatArray | Mapping[str, FloatArray], *, threads: int = 1
) -> dict[str, Range]:
    """Find the smallest and the largest value of every tensor of a float model over some samples (min-max calibration).

    The samples go through the network one by one, whatever its batch size is: every sample counts, and the ranges
    depend on the samples alone.

    Args:
        model: As `build_onnx` writes it; only the shapes of its inputs and outputs hold the batch size.
        samples: ``(n, *shape)``, at least one; by the name of the input where the model has several.
        threads: Threads of the inference.

    Raises:
        OperatorError: There is no sample, an input has no samples, or a tensor is not finite.
    """
    import onnx

    from profilers._session import make_session

    given = _by_input([info.name for info in model.graph.input], samples)
    watched = onnx.shape_inference.infer_shapes(_of_one_sample(model))
    present = {output.name for output in watched.graph.output}
    watched.graph.output.extend(info for info in watched.graph.value_info if info.name not in present)
    session = make_session(watched.SerializeToString(), threads=threads)
    names = [output.name for output in session.get_outputs()]
    ranges: dict[str, Range] = {}
    for number in range(min(map(len, given.values()))):
        fed = {name: values[number : number + 1] for name, values in given.items()}
        for name, value in {**fed, **dict(zip(names, session.run(names, fed), strict=True))}.items():
            if not value.size:  # the boxes of a sample in which nothing is found
                ranges.setdefault(name, (0.0, 0.0))
                continue
            ends = float(value.min()), float(value.max())
            if not all(map(math.isfinite, ends)):
                raise OperatorError(
                    f"int8: the tensor {name} has a value that is not finite for sample {number}, so it has no range"
                )
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, ends[0]), max(high, ends[1])
    return ranges


def _by_input(names: Sequence[str], samples: FloatArray | Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the samples of each input.

    Raises:
        OperatorError: An input has no samples, or there are more for one input than for another.
    """
    given = {names[0]: samples} if isinstance(samples, np.ndarray) else dict(samples)
    if sorted(given) != sorted(names):
        raise OperatorError(f"int8 needs samples for the inputs {', '.join(names)}, got {', '.join(given) or 'none'}")
    counts = {len(values) for values in given.values()}
    if len(counts) > 1:
        raise OperatorError(
            f"int8 needs the same number of samples for each input, got {', '.join(map(str, sorted(counts)))}"
        )
    if counts == {0}:
        raise OperatorError("int8 needs at least one sample to find the ranges of tensors")
    return given


def _of_one_sample(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a float model with batch size 1."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info in (*copy.graph.input, *copy.graph.output):
        info.type.tensor_type.shape.dim[0].dim_value = 1
    del copy.graph.value_info[:]
    return copy


def _chosen(model: onnx.ModelProto, nodes: Collection[str] | None) -> list[str]:
    """Return the names of the ONNX nodes that were written for some nodes of the op graph; none for None."""
    return [node.name for node in model.graph.node if nodes is not None and node.name.rpartition(":")[0] in nodes]


def _borders(graph: onnx.GraphProto, int8: Collection[str]) -> list[str]:
    """Return the tensors that pass between int8 nodes and others, the graph's inputs and outputs included.

    Raises:
        OperatorError: int8 and float32 nodes read the same tensor, which the quantiser would quantise for both.
    """
    constants = {item.name for item in graph.initializer}
    made = {name: node.name in int8 for node in graph.node for name in node.output}
    readers: dict[str, set[bool]] = {info.name: {False} for info in graph.output}
    for node in graph.node:
        for name in node.input:
            if name not in constants:
                readers.setdefault(name, set()).add(node.name in int8)
    shared = [name for name, sides in readers.items() if len(sides) > 1]
    if shared:
        raise OperatorError(f"mixed precision: int8 and float32 nodes read the tensor {shared[0]}; give both one")
    return [name for name, sides in readers.items() if sides != {made.get(name, False)}]


def _known_range(ranges: Mapping[str, Range], name: str) -> Range:
    """Return the range of a tensor.

    Raises:
        OperatorError: There is none.
    """
    if name not in ranges:
        raise OperatorError(f"int8: the tensor {name} has no range; give the `tensor_ranges` of this model")
    return ranges[name]


def _sort_nodes(graph: onnx.GraphProto) -> None:
    """Put nodes after those whose outputs they read, and keep their order otherwise.

    The quantiser appends its nodes at the end. ONNX Runtime sorts nodes when it loads a file, but the ONNX standard
    requires that they are sorted in the file.
    """
    maker = {name: number for number, node in enumerate(graph.node) for name in node.output}
    readers: dict[int, list[int]] = {}
    waits = []
    for number, node in enumerate(graph.node):
        sources = {maker[name] for name in node.input if name in maker}
        waits.append(len(sources))
        for source in sources:
            readers.setdefault(source, []).append(number)
    ready = [number for number, count in enumerate(waits) if not count]
    order = []
    while ready:
        number = heapq.heappop(ready)
        order.append(graph.node[number])
        for reader in readers.get(number, ()):
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, reader)
    nodes = [type(node).FromString(node.SerializeToString()) for node in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _tensor_names(model: Any) -> list[str]:
    """Return the names of all tensors with a known shape: inputs, intermediate tensors, outputs."""
    return [info.name for part in (model.graph.input, model.graph.value_info, model.graph.output) for info in part]
