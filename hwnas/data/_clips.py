"""`load_clips`: clips for classification, from folders of frames or an ``.npz`` file."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from hwnas._errors import DataError
from hwnas.data._forms import CLIPS
from hwnas.data._guards import one_line, recogniser, require_arguments
from hwnas.data._images import ClipData
from hwnas.data._kinds import VIDEOS
from hwnas.data._layout import files_in, named_parts, walk
from hwnas.data._names import shown
from hwnas.data._npy import Npz
from hwnas.data._recognise import are_most, folders_in
from hwnas.data._source import Source, assemble

_LONGEST = 1024
_LOOKS = 20
_NUMBERED = re.compile(r"(.*?)([0-9]+)\Z")


def load_clips(
    spec: str | Path,
    *,
    image_size: int | None = None,
    frames: int | None = None,
    seed: int = 0,
    limit: int | None = None,
) -> ClipData:
    """Load clips for classification and split them.

    Args:
        spec: A folder with ``train/<class>/<clip>/*`` and optionally ``test/...`` and ``val/...`` (or ``valid``,
            ``validation``), or with ``<class>/<clip>/*`` directly, frames in the order of their names; or an ``.npz``
            file with ``x_train``, ``y_train`` and optionally ``x_test``, ``y_test``, ``x_val``, ``y_val`` (clips
            ``(N, C, T, H, W)``, uint8, or float on 0-1 or 0-255).
        image_size: Height and width to bring every frame to: the shorter side is scaled to it (Pillow, bilinear,
            antialiased), then the centre is cut out. None keeps the frames as they are; they must be of one size.
        frames: Frames to take of each clip, evenly over its time. None for those of the shortest clip, at most 16,
            and for all in an ``.npz`` file.
        seed: Decides the validation split; see `load_data`.
        limit: Use at most this many clips of each part that the source has.

    Raises:
        DataError: One line that names the file at fault and says what to do.
    """
    spec = require_arguments(spec, image_size, limit, seed)
    if frames is not None and not 1 <= frames <= _LONGEST:
        raise DataError(f"data {shown(spec)}: --frames must be 1 to {_LONGEST}, got {frames}")
    with one_line(spec):
        return assemble(spec, _open(spec, image_size, frames), ClipData, seed=seed, limit=limit)


@recogniser
def is_clips(spec: str) -> bool:
    """Return whether data are clips: an array with a time axis, or class folders of folders with numbered frames.

    A few folders are looked at. Folders of video files are clips, too, which loading refuses.
    """
    path = Path(spec)
    if path.is_file() and path.suffix.lower() == ".npz":
        with Npz(path) as archive:
            return "x_train" in archive and CLIPS.fits(archive.stored("x_train").shape)
    return bool(spec) and path.is_dir() and (_holds_clips(path) or are_most(path, VIDEOS))


def _open(spec: str, image_size: int | None, frames: int | None) -> Source:
    path = Path(spec)
    if spec and path.is_dir():
        from hwnas.data._clip_folder import open_clip_folder

        if are_most(path, VIDEOS):
            raise _video_files(path)
        return open_clip_folder(path, image_size, frames)
    if path.is_file() and path.suffix.lower() == ".npz":
        from hwnas.data._npz import open_npz

        return open_npz(path, image_size, CLIPS, frames)
    what = "is none of these" if os.path.lexists(path) and spec else "does not exist"
    raise DataError(f"data {shown(spec)}: {what}; give a folder of clips (<class>/<clip>/*) or an .npz file")


def _holds_clips(root: Path) -> bool:
    """Return whether most folders in the first class folders hold frames that are numbered one after the other.

    A few others (a clip without frames) and a few images beside them change nothing: loading the clips names them.
    """
    top = folders_in(root)
    train = named_parts(top).get("train")
    classes = folders_in(train) if train is not None else top
    clips = others = loose = 0
    for folder in classes[:_LOOKS]:
        inside = [_are_frames(files_in(clip).files) for clip in islice(folders_in(folder), _LOOKS)]
        clips += sum(inside)
        others += len(inside) - sum(inside)
        loose += len(files_in(folder).files)
    return clips > max(others, loose)


def _video_files(root: Path) -> DataError:
    """Return the refusal of a folder of video files, with a command that makes frames of the first one."""
    video = walk(root, VIDEOS).files[0]
    frames = os.path.splitext(video)[0]  # noqa: PTH122
    folder, source = shlex.quote(frames), shlex.quote(video)
    return DataError(
        f"data {shown(root)}: video files are not read; make a folder of frames of each and move the video away, like: "
        f"mkdir {shown(folder)} && ffmpeg -i {shown(source)} {shown(folder)}/%05d.png"
    )


def _are_frames(paths: Sequence[str]) -> bool:
    """Return whether files are called like frames: one word and numbers without a gap."""
    found = [_NUMBERED.match(Path(path).stem) for path in paths]
    words = [(match[1], int(match[2])) for match in found if match is not None]
    if len(words) != len(paths) or len(words) < 2:
        return False
    numbers = sorted(number for _, number in words)
    return len({word for word, _ in words}) == 1 and numbers[-1] - numbers[0] == len(numbers) - 1
