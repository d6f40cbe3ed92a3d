"""Tiny clips: a dot that moves to the right or to the left, as arrays and as folders of frames."""

import numpy as np
from PIL import Image

CLASSES = ("left", "right")


def dots(count, *, frames=4, size=8, channels=1, seed=0):
    """Clips ``(count, channels, frames, size, size)`` of a dot that moves one pixel a frame, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    clips = np.zeros((count, channels, frames, size, size), dtype=np.uint8)
    for clip, label in zip(clips, labels, strict=True):
        row, column = rng.integers(size - 2, size=2)
        for t in range(frames):
            places = (column + (t if label else -t)) % (size - 1)
            clip[:, t, row : row + 2, places : places + 2] = 200
    return clips, labels


def write_npz(path, *, dtype=np.uint8, scale=1, **options):
    (x, y), (x_test, y_test) = dots(24, **options), dots(8, seed=1, **options)
    np.savez(path, x_train=(x * scale).astype(dtype), y_train=y, x_test=(x_test * scale).astype(dtype), y_test=y_test)
    return path


def write_folder(root, *, suffix=".png", **options):
    for part, count in (("train", 24), ("test", 8)):
        clips, labels = dots(count, seed=int(part == "test"), **options)
        for number, (clip, label) in enumerate(zip(clips, labels, strict=True)):
            folder = root / part / CLASSES[label] / f"clip{number:02d}"
            folder.mkdir(parents=True)
            for i, frame in enumerate(clip.transpose(1, 2, 3, 0)):
                Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame).save(folder / f"{i:03d}{suffix}")
    return root
