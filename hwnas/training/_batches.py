"""Images as normalised tensors at any size, and their augmentation, without a loop over images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as f

from hwnas.data import ImageData, Split
from hwnas.data._images import ImageArray, LabelArray


def prepare_images(data: ImageData, images: ImageArray | Tensor, size: int, device: str = "cpu") -> Tensor:
    """Network inputs: pixels to 0-1, normalised by the train part's mean and deviation, resized.

    Args:
        data: gives mean and deviation.
        images: ``(N, C, H, W)`` uint8.
        size: height and width of the result; bilinear with antialiasing where the images differ from it.
        device: where to compute.

    Returns:
        ``(N, C, size, size)`` float32, channels last in memory.
    """
    tensor = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    x = tensor.to(device).float() / 255.0
    mean, std = (torch.tensor(v, dtype=torch.float32, device=device)[:, None, None] for v in (data.mean, data.std))
    return resize((x - mean) / std, size)


def resize(x: Tensor, size: int) -> Tensor:
    """``(N, C, H, W)`` to ``(N, C, size, size)``, bilinear with antialiasing, channels last in memory."""
    if x.shape[2:] != (size, size):
        x = f.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return x.contiguous(memory_format=torch.channels_last)


def augment(x: Tensor, rng: np.random.Generator, *, shift: float, flip: bool) -> Tensor:
    """Move every image of ``(N, C, H, W)`` by its own random offset and mirror half of them.

    Args:
        x: images, channels first or last in memory.
        rng: source of the offsets.
        shift: largest offset as a share of the image; edges are repeated.
        flip: mirror left to right with probability 1/2.
    """
    count, _, height, width = x.shape
    rows = _moved(rng, count, height, shift)
    columns = _moved(rng, count, width, shift)
    if flip:
        mirrored = rng.random(count) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    where = [torch.from_numpy(a.copy()).to(x.device) for a in (rows, columns)]
    samples = torch.arange(count, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[samples, where[0][:, :, None], where[1][:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _moved(rng: np.random.Generator, count: int, extent: int, shift: float) -> npt.NDArray[np.int64]:
    """For each image the source index of every row (or column), ``(count, extent)``."""
    most = round(shift * extent)
    offsets = rng.integers(-most, most + 1, size=(count, 1))
    return np.asarray(np.clip(np.arange(extent)[None] + offsets, 0, extent - 1), dtype=np.int64)


class TrainLoader:
    """Augmented batches of the train part; an epoch depends on the seed and its number alone.

    Args:
        data: the data set.
        batch_size: images a batch; a smaller rest at the end of an epoch is left out.
        size: height and width of the batches.
        device: where the batches are wanted.
        shift: see `augment`.
        flip: see `augment`.
    """

    def __init__(self, data: ImageData, batch_size: int, size: int, device: str, *, shift: float, flip: bool) -> None:
        self.data, self.size, self.device = data, size, device
        self.batch_size = min(batch_size, len(data.train))
        self.shift, self.flip = shift, flip
        self._labels = torch.from_numpy(data.train.labels).to(device)
        self._images = torch.from_numpy(data.train.images).to(device)

    def __len__(self) -> int:
        return len(self.data.train) // self.batch_size

    def epoch(self, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of images ``(B, C, size, size)`` and labels ``(B,)`` in an order drawn from `rng`."""
        order = torch.from_numpy(rng.permutation(len(self.data.train))).to(self.device)
        for step in range(len(self)):
            chosen = order[step * self.batch_size : (step + 1) * self.batch_size]
            x = prepare_images(self.data, self._images[chosen], self.size, self.device)
            x = augment(x, rng, shift=self.shift, flip=self.flip)
            yield x.contiguous(memory_format=torch.channels_last), self._labels[chosen]


def calibration_images(data: ImageData, count: int) -> ImageArray:
    """The first `count` train images of a fixed shuffle ``(count, C, H, W)``."""
    order = np.random.default_rng(0).permutation(len(data.train))[:count]
    return np.ascontiguousarray(data.train.images[np.sort(order)])


def in_batches(split: Split, batch_size: int) -> Iterator[tuple[ImageArray, LabelArray]]:
    """A part in its own order, ``batch_size`` at a time; the last batch may be smaller."""
    for start in range(0, len(split), batch_size):
        yield split.images[start : start + batch_size], split.labels[start : start + batch_size]
