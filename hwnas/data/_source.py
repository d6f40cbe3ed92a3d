"""From a source to an `ImageData`: labels first, then every image straight to its place, so that none is held twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from hwnas._errors import DataError
from hwnas.data._images import ImageArray, ImageData, LabelArray, Split, moments
from hwnas.data._names import require_class_names, shown
from hwnas.data._splits import Indices, missing_parts, split_off, subset

Data = TypeVar("Data", bound=ImageData)


class Canvas:
    """Room for the chosen images of a data set.

    Args:
        name: The data set's, for error messages.
        totals: Images of each part that the source has.
        chosen: For each part to be made, the part of the source it is taken from and the ascending indices there.
    """

    def __init__(self, name: str, totals: Mapping[str, int], chosen: Mapping[str, tuple[str, Indices]]) -> None:
        self._name = name
        self._chosen = chosen
        self._images: dict[str, ImageArray] = {}
        self._left = sum(len(indices) for _, indices in chosen.values())
        self._target = {part: np.full(total, -1, dtype=np.int8) for part, total in totals.items()}
        self._row = {part: np.zeros(total, dtype=np.int64) for part, total in totals.items()}
        for code, (part, indices) in enumerate(chosen.values()):
            self._target[part][indices] = code
            self._row[part][indices] = np.arange(len(indices))
        self._lock = threading.Lock()

    @classmethod
    def of_all(cls, name: str, counts: Mapping[str, int]) -> Canvas:
        """Return room for all images of each part; a part of the source becomes the same part of the result."""
        return cls(name, counts, {part: (part, np.arange(count)) for part, count in counts.items()})

    def kept(self, part: str) -> Indices:
        """Return ascending indices of the images of a source's part that are wanted."""
        return np.flatnonzero(self._target[part] >= 0)

    def put(
        self, part: str, first: int, images: ImageArray, change: Callable[[ImageArray], ImageArray] | None = None
    ) -> None:
        """Keep what is wanted of some images; from any thread.

        Args:
            part: The source's part.
            first: Index of the first of them there.
            images: ``(n, C, H, W)`` or ``(n, C, T, H, W)``; grey ones become colour where the set has both.
            change: What is done to the wanted ones first.

        Raises:
            DataError: The source has more images than it said.
        """
        targets, rows = (kept[part][first : first + len(images)] for kept in (self._target, self._row))
        if len(targets) != len(images):
            raise self._changed()
        wanted = targets >= 0
        if not wanted.any():
            return
        if not wanted.all():
            images, targets, rows = images[wanted], targets[wanted], rows[wanted]
        if change is not None:
            images = change(images)
        with self._lock:
            self._make_room(images)
            for code, name in enumerate(self._chosen):
                here = targets == code
                if here.any():
                    self._images[name][rows[here]] = images if here.all() else images[here]
            self._left -= len(images)

    def take(self, name: str) -> ImageArray:
        """Return the images of a part, ``(N, C, H, W)``; once.

        Raises:
            DataError: The source has fewer images than it said.
        """
        if self._left:
            raise self._changed()
        return self._images.pop(name)

    def _make_room(self, images: ImageArray) -> None:
        channels, *size = images.shape[1:]
        if not self._images:
            for name, (_, indices) in self._chosen.items():
                self._images[name] = np.empty((len(indices), channels, *size), dtype=np.uint8)
        for name, grey in self._images.items():
            if grey.shape[1] < channels:
                colour = np.empty((len(grey), channels, *size), dtype=np.uint8)
                colour[:] = grey
                self._images[name] = colour

    def _changed(self) -> DataError:
        return DataError(f"data {shown(self._name)}: it changed while it was read; try again")


@dataclass(frozen=True)
class Source:
    """What a reader knows of a data set before it reads an image.

    Attributes:
        classes: Class names, in the order of the labels.
        labels: Labels of all images, by part: ``train``, perhaps ``validation`` and ``test``.
        fill: Puts all images onto a canvas.
        notes: Notes about what is left out; `fill` may add some.
    """

    classes: Sequence[str]
    labels: Mapping[str, LabelArray]
    fill: Callable[[Canvas], None]
    notes: list[str] = field(default_factory=list)


def assemble(name: str, source: Source, kind: type[Data], *, seed: int, limit: int | None) -> Data:
    """Read the parts that a source has (``train``, perhaps ``validation`` and ``test``) into an `ImageData`.

    A missing test part is split off the train part the same way for every seed, so that runs with different
    seeds report on the same images; a missing validation part is split off from `seed`.

    Args:
        name: The data set's.
        source: What the reader found.
        kind: `ImageData`, or what it is for other samples.
        seed: Decides the validation split.
        limit: Most samples of each part; None for all.

    Raises:
        DataError: A class has too few images to split, or an image cannot be read.
    """
    require_class_names(name, source.classes)
    chosen = _choose(name, source, seed, limit)
    canvas = Canvas(name, {part: len(labels) for part, labels in source.labels.items()}, chosen)
    source.fill(canvas)
    parts = {
        part: Split(canvas.take(part), source.labels[origin][indices]) for part, (origin, indices) in chosen.items()
    }
    mean, std = moments(parts["train"].images)
    return kind(name, tuple(source.classes), **parts, mean=mean, std=std, notes=tuple(source.notes))


def _choose(name: str, source: Source, seed: int, limit: int | None) -> dict[str, tuple[str, Indices]]:
    """Return for each part of the result the source's part that it is taken from and the indices there."""
    labels, classes = source.labels, source.classes
    kept = {
        part: subset(shown(name), part_labels, limit, needed=4 - len(labels) if part == "train" else 1)
        for part, part_labels in labels.items()
    }
    chosen = {part: (part, indices) for part, indices in kept.items()}
    train = kept["train"]
    for each in missing_parts(kept, seed):
        share = each.share(len(train))
        rest, held = split_off(shown(name), labels["train"][train], classes, share, seed=each.seed, needed=each.needed)
        train, chosen[each.part] = train[rest], ("train", train[held])
    chosen["train"] = ("train", train)
    return chosen
