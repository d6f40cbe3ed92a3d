"""Post-training quantisation of a finished network, with the ranges of its tensors over images of the train part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.data import ImageData
from hwnas.training._batches import prepare_images
from profilers import quantize_model, tensor_ranges

if TYPE_CHECKING:
    import onnx

QUANTISATION_IMAGES = 256
"""Most train images that the ranges of tensors are computed over."""


def quantized(model: onnx.ModelProto, data: ImageData, size: int) -> onnx.ModelProto:
    """The int8 (QDQ) form of a float network, its ranges taken from images of the train part.

    Args:
        model: reads ``(batch, C, size, size)``.
        data: gives the images.
        size: height and width that the network reads.
    """
    every = max(1, len(data.train) // QUANTISATION_IMAGES)
    images = data.train.images[::every][:QUANTISATION_IMAGES]
    quantisation_images = prepare_images(data, images, size).contiguous().numpy()
    return quantize_model(model, tensor_ranges(model, quantisation_images))
