"""Accuracies of torch networks and of ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hwnas._errors import EvaluatorError
from hwnas.data import ImageData, Split
from hwnas.training._batches import in_batches, prepare_images
from profilers import make_session


def accuracy(
    network: Callable[[Tensor], Tensor],
    data: ImageData,
    split: Split,
    size: int,
    *,
    device: str = "cpu",
    batch_size: int = 64,
) -> float:
    """Share of a part's images that a network classifies correctly.

    Args:
        network: images ``(N, C, size, size)`` to logits ``(N, classes)``, in evaluation mode.
        data: gives the normalisation.
        split: the images.
        size: height and width that the network reads.
        device: where the network lives.
        batch_size: images at once.
    """
    correct = 0
    with torch.no_grad():
        for images, labels in in_batches(split, batch_size):
            logits = network(prepare_images(data, images, size, device))
            correct += int((logits.argmax(1).cpu().numpy() == labels).sum())
    return correct / len(split)


def evaluate_onnx(model: str | Path | bytes, data: ImageData, split: Split, *, threads: int = 1) -> float:
    """Accuracy of an ONNX file through ONNX Runtime on the CPU, with the file's own fixed batch size.

    Args:
        model: path of the file, or its bytes; one input ``(batch, C, size, size)``, one output of logits.
        data: gives the normalisation.
        split: the images.
        threads: of ONNX Runtime within an operator.

    Raises:
        EvaluatorError: the file cannot be read, or is no classifier of these images.
    """
    name = "model" if isinstance(model, bytes) else str(model)
    try:
        session = make_session(model if isinstance(model, bytes) else str(model), threads=threads)
    except Exception as error:  # ONNX Runtime's exceptions have no common base of their own
        raise EvaluatorError(f"onnx {name}: cannot be loaded ({str(error).splitlines()[0]})") from None
    entry = session.get_inputs()[0]
    shape = list(entry.shape)
    square = len(shape) == 4 and all(type(n) is int for n in shape) and shape[2] == shape[3]
    if not square or shape[1] != data.channels:
        raise EvaluatorError(f"onnx {name}: its input {shape} does not take images of {data.channels} channels")
    batch, size = shape[0], shape[2]
    correct = 0
    for images, labels in in_batches(split, batch):
        x = prepare_images(data, images, size).contiguous().numpy()
        padded = np.zeros((batch, *x.shape[1:]), dtype=np.float32)
        padded[: len(x)] = x
        logits = session.run(None, {entry.name: padded})[0]
        correct += int((logits[: len(x)].argmax(1) == labels).sum())
    return correct / len(split)
