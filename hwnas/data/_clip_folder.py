"""Folders of clips: ``train/<class>/<clip>/*`` and ``test/<class>/<clip>/*``, or ``<class>/<clip>/*`` directly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from hwnas._errors import DataError
from hwnas.data._folder import Files, source_of
from hwnas.data._images import ImageArray
from hwnas.data._kinds import FRAMES
from hwnas.data._layout import find_layout
from hwnas.data._names import shown
from hwnas.data._pixels import even_frames, frame_order
from hwnas.data._recognise import folders_in, has_files
from hwnas.data._source import Source

MOST_FRAMES = 16
"""Frames that are taken of each clip at most where nobody says how many."""


def open_clip_folder(root: Path, image_size: int | None, frames: int | None) -> Source:
    """Return the classes (sorted) and the parts that a folder of clips has.

    Raises:
        DataError: See `hwnas.data.load_clips`.
    """
    layout = find_layout(root, FRAMES)
    clips = {
        part: {name: _clips_of(folder, paths) for name, paths in layout.parts[part].items()}
        for part, folder in layout.folders.items()
    }
    shortest, longest = _extremes(_each(clips))
    count = frames or min(MOST_FRAMES, len(shortest))
    if frames is None and count < len(longest):
        place = Path(shortest[0]).parent
        limited = f", as many as {shown(place)} has" if count == len(shortest) else ""
        layout.notes.append(
            f"clips of {_range(shortest, longest)} give {_frames(count)} each{limited}, evenly over their time; "
            f"--frames N changes that{', after shorter clips are removed' if limited else ''}"
        )
    for clip in _each(clips):
        if len(clip) < count:
            raise DataError(
                f"data {shown(Path(clip[0]).parent)}: a clip of {_frames(len(clip))}, but --frames is {count}; lower "
                "it, or remove the clip"
            )
    even = {
        part: {
            name: [tuple(clip[i] for i in even_frames(len(clip), count)) for clip in members]
            for name, members in classes.items()
        }
        for part, classes in clips.items()
    }
    return source_of(root, layout, even, image_size, _stacked)


def _clips_of(part: Path, images: Sequence[str]) -> list[Files]:
    """Return the frames of each clip of a class, clips in the order of their names.

    Args:
        part: The folder of all classes.
        images: Image files of one class; those in the class folder itself come first.

    Raises:
        DataError: Images lie in the class folder itself, or a clip has none.
    """
    name, *inside = Path(images[0]).relative_to(part).parts
    if len(inside) == 1:
        raise DataError(
            f"data {shown(images[0])}: a frame in the class folder itself; give each clip a folder of its own"
        )
    for clip in folders_in(part / name):
        if not has_files(clip):
            raise DataError(f"data {shown(clip)}: a clip without frames; add images or remove the folder")
    clips: defaultdict[str, list[str]] = defaultdict(list)
    for path in images:
        clips[str(Path(path).parent)].append(path)
    return [tuple(sorted(clips[place], key=frame_order)) for place in sorted(clips)]


def _stacked(frames: Sequence[ImageArray]) -> ImageArray:
    """Return a clip ``(C, T, H, W)`` of frames ``(C, H, W)``; grey ones become colour beside colour."""
    channels = max(len(frame) for frame in frames)
    return np.stack([np.broadcast_to(frame, (channels, *frame.shape[1:])) for frame in frames], axis=1)


def _each(clips: Mapping[str, Mapping[str, Sequence[Files]]]) -> Iterator[Files]:
    return (clip for classes in clips.values() for members in classes.values() for clip in members)


def _extremes(clips: Iterator[Files]) -> tuple[Files, Files]:
    """Return the shortest and the longest clip; one without frames where there are none."""
    ordered = sorted(clips, key=len) or [("",)]
    return ordered[0], ordered[-1]


def _range(shortest: Files, longest: Files) -> str:
    if len(shortest) == len(longest):
        return _frames(len(longest))
    return f"{len(shortest)} to {_frames(len(longest))}"


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"
