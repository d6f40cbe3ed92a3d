"""`DataTask` and `PixelTask`: tasks over one data object that its reader divided into parts."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING, Generic, TypeVar

from hwnas.tasks._base import Indices, Part, Shape, Task
from hwnas.tasks._divided import DividedData, PixelData, part_of

if TYPE_CHECKING:
    from torch import Tensor

Data = TypeVar("Data", bound=DividedData[Sized])
Images = TypeVar("Images", bound=PixelData)


class DataTask(Task, Generic[Data]):
    """A task whose data are one object.

    Args:
        data: The data.
    """

    def __init__(self, data: Data) -> None:
        self._data = data

    @property
    def data(self) -> Data:
        """The data as their reader gave them."""
        return self._data

    @property
    def data_name(self) -> str:
        """What ``--data`` was given."""
        return self._data.name

    @property
    def notes(self) -> Sequence[str]:
        """What was left out or read in part."""
        return self._data.notes

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the data and their division into parts."""
        return self._data.fingerprint

    def size(self, part: Part) -> int:
        """Return samples of a part."""
        return len(part_of(self._data, part))


class PixelTask(DataTask[Images]):
    """A task whose networks read square images of any size.

    Args:
        data: The images.
    """

    def misfit(self, input_shape: Sequence[object]) -> str | None:
        """Return why a file's input ``(batch, C, size, size)`` does not take these images."""
        shape = list(input_shape)
        square = len(shape) == 4 and all(type(n) is int for n in shape) and shape[2] == shape[3]
        if square and shape[1] == self._data.channels:
            return None
        return f"does not take images of {self._data.channels} channels"

    def inputs(self, part: Part, indices: Indices, input_shape: Shape, device: str = "cpu") -> Tensor:
        """Return normalised images ``(N, C, size, size)``, channels last in memory."""
        from hwnas.tasks._pixel_tensors import prepare_images

        return prepare_images(self._data, part_of(self._data, part).images[indices], input_shape[-1], device)

    def at_shape(self, x: Tensor, input_shape: Shape) -> Tensor:
        """Return images resized, bilinear with antialiasing."""
        from hwnas.tasks._pixel_tensors import resize

        return resize(x, input_shape[-1])
