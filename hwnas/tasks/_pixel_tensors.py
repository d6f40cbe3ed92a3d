"""Images as normalised tensors at any size. Needs torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.data import ImageArray
from hwnas.tasks._divided import PixelData


def prepare_images(data: PixelData, images: ImageArray | Tensor, size: int, device: str = "cpu") -> Tensor:
    """Return network inputs: pixels to 0-1, normalised by the train part's mean and deviation, resized.

    Args:
        data: Gives mean and deviation.
        images: ``(N, C, H, W)`` uint8, or clips ``(N, C, T, H, W)``.
        size: Height and width of the result; bilinear with antialiasing where the images differ from it.
        device: Where to compute.

    Returns:
        ``(N, C, size, size)`` float32, channels last in memory; clips ``(N, C, T, size, size)``.
    """
    tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    x = tensor.to(device).float() / 255.0
    axes = (-1, *(1,) * (x.ndim - 2))
    mean, std = (torch.tensor(v, dtype=torch.float32, device=device).reshape(axes) for v in (data.mean, data.std))
    return resize((x - mean) / std, size)


def resize(x: Tensor, size: int) -> Tensor:
    """Resize ``(N, C, H, W)`` to ``(N, C, size, size)``, bilinear with antialiasing, channels last in memory.

    Clips ``(N, C, T, H, W)`` are resized frame by frame.
    """
    if x.ndim == 5:
        frames = x.flatten(1, 2)
        return x if x.shape[-2:] == (size, size) else resize(frames, size).reshape(*x.shape[:3], size, size)
    if x.shape[2:] != (size, size):
        x = f.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return x.contiguous(memory_format=torch.channels_last)
