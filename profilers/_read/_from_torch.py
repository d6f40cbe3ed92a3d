"""`from_torch`: a torch module, exported by torch and read as an op graph."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

from profilers._errors import ModelFileError
from profilers._read._attributes import one_line
from profilers._read._model import ReadModel
from profilers._read._reader import read_onnx

if TYPE_CHECKING:
    import torch
    from torch import nn


def from_torch(module: nn.Module, example: torch.Tensor | tuple[torch.Tensor, ...]) -> ReadModel:
    """Export a module with torch's own exporter and read the result.

    The TorchScript exporter is used: it needs no further package. The module is exported in evaluation mode and left in
    the mode that it had.

    Args:
        module: The network.
        example: Its input ``(n, ...)``, or a tuple of its inputs; their batch size is that of the result.

    Raises:
        ModelFileError: Torch cannot export the module, or the result cannot be read.
    """
    import torch

    content = io.BytesIO()
    export: Any = torch.onnx.export
    inputs = example if isinstance(example, tuple) else (example,)
    modes = {part: part.training for part in module.modules()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            export(module.eval(), inputs, content, dynamo=False, opset_version=17)
    except Exception as error:  # whatever torch's tracer raises
        reason = one_line(error, 300)
        raise ModelFileError(
            f"{type(module).__name__}: torch cannot export it: {reason}; "
            "export it yourself with torch.onnx.export(..., dynamo=True), which needs `pip install onnxscript`, "
            "and read the file"
        ) from None
    finally:
        for part, training in modes.items():
            part.training = training
    return read_onnx(content.getvalue())
