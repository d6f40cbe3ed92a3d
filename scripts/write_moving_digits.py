"""Write the moving-digits task: clips of digits that drift over a canvas; the label is the direction of motion.

    python scripts/write_moving_digits.py moving.npz [--clips 4000] [--frames 8] [--size 24]
    python scripts/write_moving_digits.py moving/ --clips 400        (a folder of frames in place of an .npz file)

Every clip shows two digits of scikit-learn's data set that move in one of eight directions over a canvas whose opposite
edges are joined. Where they are in any single frame is independent of the direction: positions are uniform. What an
average over frames that are looked at one by one could tell (digits that move along an axis keep their other
coordinate) is kept small as in random-dot kinematograms: each digit lives for a few frames, then another one appears at
a random place, and no two digits change at the same time. The digits of the test part are in no clip of the train
part. In an ``.npz`` file the labels are the indices of `DIRECTIONS`.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt
from _npz import both_parts, write_npz

from latency_tables import write_atomic

Clips = npt.NDArray[np.uint8]
DIRECTIONS = {
    "east": (0, 1),
    "north": (-1, 0),
    "northeast": (-1, 1),
    "northwest": (-1, -1),
    "south": (1, 0),
    "southeast": (1, 1),
    "southwest": (1, -1),
    "west": (0, -1),
}
"""Rows and columns that a digit moves by, for each step of one pixel; in the order of the labels."""
DIGITS, LIFE, SPEEDS = 2, 4, (2, 3)
"""Digits of a clip, frames that each is seen for, and pixels that they move by from frame to frame."""
DIGITS_OF_TEST = 0.25
"""Digits that the clips of the test part show, as a share of all."""


def moving_digits(
    count: int, *, frames: int, size: int, pictures: Clips, seed: int
) -> tuple[Clips, npt.NDArray[np.int64]]:
    """Draw clips of moving digits.

    Args:
        count: Number of clips; the directions are equally frequent.
        frames: Frames of each clip.
        size: Height and width of the canvas.
        pictures: Digits to draw from ``(n, h, w)``.
        seed: Decides everything.

    Returns:
        Clips ``(count, 1, frames, size, size)`` and labels ``(count,)``, indices into `DIRECTIONS`.
    """
    rng = np.random.default_rng(seed)
    steps = np.array(list(DIRECTIONS.values()))
    labels = rng.permutation(np.arange(count) % len(steps)).astype(np.int64)
    clips = np.zeros((count, 1, frames, size, size), dtype=np.uint8)
    for clip, label in zip(clips[:, 0], labels, strict=True):
        step, phase = rng.choice(SPEEDS) * steps[label], int(rng.integers(LIFE))
        for digit in range(DIGITS):
            draw_digits(clip, step, phase + digit * LIFE // DIGITS, pictures, rng)
    return clips, labels


def draw_digits(
    clip: Clips, step: npt.NDArray[np.int64], phase: int, pictures: Clips, rng: np.random.Generator
) -> None:
    """Draw one digit after the other onto a clip ``(frames, size, size)``.

    Args:
        clip: Changed in place; what lies over one another is as bright as the brighter.
        step: Rows and columns that digits move by from frame to frame.
        phase: Frames that the first one has been seen for before the clip begins.
        pictures: Digits ``(n, h, w)``.
        rng: Chooses digits and places.
    """
    size = clip.shape[-1]
    for number, frame in enumerate(clip):
        if number == 0 or (number + phase) % LIFE == 0:
            picture, place = pictures[rng.integers(len(pictures))], rng.integers(size, size=2)
        rows, columns = (np.arange(extent) + start for extent, start in zip(picture.shape, place, strict=True))
        where = np.ix_(rows % size, columns % size)
        frame[where] = np.maximum(frame[where], picture)
        place = place + step


def make_parts(clips: int, *, frames: int, size: int, seed: int) -> dict[str, Clips | npt.NDArray[np.int64]]:
    """Return the arrays of the task: ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Args:
        clips: Clips of the train part.
        frames: Frames of each clip.
        size: Height and width of the canvas.
        seed: Decides everything.
    """
    from sklearn.datasets import load_digits

    pictures = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
    pictures = pictures[np.random.default_rng(0).permutation(len(pictures))]
    held = round(DIGITS_OF_TEST * len(pictures))
    own = {"train": pictures[held:], "test": pictures[:held]}
    return both_parts(
        lambda part, count, part_seed: moving_digits(
            count, frames=frames, size=size, pictures=own[part], seed=part_seed
        ),
        clips,
        seed,
    )


def write_folder(root: Path, arrays: dict[str, Clips | npt.NDArray[np.int64]]) -> None:
    """Write clips as ``part/<direction>/<clip>/000.png``."""
    from PIL import Image

    names = list(DIRECTIONS)
    for part in ("train", "test"):
        for number, (clip, label) in enumerate(zip(arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True)):
            folder = root / part / names[label] / f"{number:05d}"
            folder.mkdir(parents=True, exist_ok=True)
            for i, frame in enumerate(clip[0]):
                buffer = io.BytesIO()
                Image.fromarray(frame).save(buffer, "PNG")
                write_atomic(folder / f"{i:03d}.png", buffer.getvalue())


def main() -> None:
    """Write the file or the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Write the moving-digits task: the label is the direction of motion.")
    parser.add_argument("out", type=Path, help="an .npz file, or a folder for frames as PNG files")
    parser.add_argument("--clips", type=int, default=4000, help="clips of the train part (default 4000)")
    parser.add_argument("--frames", type=int, default=8, help="frames of each clip (default 8)")
    parser.add_argument("--size", type=int, default=24, help="height and width of the frames (default 24)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.clips < 32 or given.frames < 2 or given.size < 8:
        parser.error("needs --clips 32 or more, --frames 2 or more and --size 8 or more")
    arrays = make_parts(given.clips, frames=given.frames, size=given.size, seed=given.seed)
    if given.out.suffix == ".npz":
        write_npz(given.out, arrays)
    else:
        write_folder(given.out, arrays)
    sys.stdout.write(f"{given.out}: {len(arrays['x_train'])} clips to train on, {len(arrays['x_test'])} to test on\n")


if __name__ == "__main__":
    main()
