"""Static int8 quantisation of ONNX models (QDQ form), by ONNX Runtime's own quantiser.

Profiled blocks and shipped networks go through the same function, so what is measured is built as what ships.
onnx and onnxruntime are imported when needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

Range = tuple[float, float]
ASSUMED_RANGE: Range = (-3.0, 3.0)
"""Range of every tensor where only time matters: int8 kernels take as long whatever the scales are."""


def quantize_model(model: onnx.ModelProto, ranges: Mapping[str, Range] | None = None) -> onnx.ModelProto:
    """A copy of a float model with int8 weights (per channel) and uint8 activations between Q and DQ nodes.

    Args:
        model: as `build_onnx` gives it.
        ranges: smallest and largest value of each tensor (`tensor_ranges`); None assumes `ASSUMED_RANGE` for all.
    """
    import onnx

    from profilers._session import runtime

    runtime()  # before its parts
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    inferred = onnx.shape_inference.infer_shapes(model)
    found = {
        name: TensorData(
            lowest=np.array(low, dtype=np.float32),
            highest=np.array(high, dtype=np.float32),
        )
        for name in _tensor_names(inferred)
        for low, high in [(ranges or {}).get(name, ASSUMED_RANGE)]
    }
    quantizer = QDQQuantizer(
        inferred,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, found),
        nodes_to_quantize=[],
        nodes_to_exclude=[],
        op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry} - {"BatchNormalization"}),
        extra_options={},
    )
    quantizer.quantize_model()
    result: onnx.ModelProto = quantizer.model.model
    onnx.helper.set_model_props(result, {item.key: item.value for item in model.metadata_props})
    return result


def tensor_ranges(model: onnx.ModelProto, images: npt.NDArray[np.float32], *, threads: int = 1) -> dict[str, Range]:
    """Smallest and largest value of every tensor of a float model over some images (min-max calibration).

    Args:
        model: as `build_onnx` gives it, with a fixed batch.
        images: ``(n, channels, height, width)``; a last incomplete batch is left out.
        threads: of the inference.
    """
    import onnx

    from profilers._session import make_session

    watched = onnx.ModelProto()
    watched.CopyFrom(onnx.shape_inference.infer_shapes(model))
    present = {output.name for output in watched.graph.output}
    watched.graph.output.extend(info for info in watched.graph.value_info if info.name not in present)
    session = make_session(watched.SerializeToString(), threads=threads)
    names = [output.name for output in session.get_outputs()]
    source = session.get_inputs()[0]
    batch = int(source.shape[0])
    found: dict[str, Range] = {}
    for start in range(0, len(images) - batch + 1, batch):
        block = images[start : start + batch]
        for name, value in zip([source.name, *names], [block, *session.run(None, {source.name: block})], strict=True):
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, float(value.min())), max(high, float(value.max()))
    return found


def _tensor_names(model: Any) -> list[str]:
    return [info.name for part in (model.graph.input, model.graph.value_info, model.graph.output) for info in part]
