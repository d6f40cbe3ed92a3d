"""What tasks need of the data that readers give: three parts, and what identifies them."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Protocol, TypeVar

from hwnas.data import ImageArray
from hwnas.tasks._base import Part

Samples = TypeVar("Samples", bound=Sized, covariant=True)
Chosen = TypeVar("Chosen", bound=Sized)


class DividedData(Protocol[Samples]):
    """What readers of data give: three parts, and what identifies them."""

    @property
    def name(self) -> str:
        """What ``--data`` was given."""

    @property
    def notes(self) -> Sequence[str]:
        """Notes about what was left out or read in part."""

    @property
    def fingerprint(self) -> str:
        """A SHA-256 (hexadecimal) of the data and their division into parts."""

    @property
    def train(self) -> Samples:
        """What weights and normalisation are fitted on."""

    @property
    def validation(self) -> Samples:
        """What a search compares networks on."""

    @property
    def test(self) -> Samples:
        """For the final report alone."""


class Pictures(Protocol):
    """One part of images."""

    @property
    def images(self) -> ImageArray:
        """``(N, C, H, W)``, 0-255."""

    def __len__(self) -> int: ...


class PixelData(DividedData[Pictures], Protocol):
    """Images in three parts, with what normalises them."""

    @property
    def channels(self) -> int:
        """Channels of every image."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, pixels scaled to 0-1."""

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, pixels scaled to 0-1."""


def part_of(data: DividedData[Chosen], part: Part) -> Chosen:
    """Return the samples of a part."""
    return {"train": data.train, "validation": data.validation, "test": data.test}[part]
