"""Tiny data whose targets are maps: shapes on noise, and a smoothing operator for signals."""

import numpy as np
from PIL import Image

NAMES = ("ground", "square", "disc")


def shapes(count, size=16, seed=0):
    """Return images (count, size, size, 3) uint8 of a bright square and a dark disc on noise, and their masks."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 160, size=(count, size, size, 3), dtype=np.uint8)
    masks = np.zeros((count, size, size), dtype=np.uint8)
    rows, columns = np.indices((size, size))
    for image, mask in zip(images, masks, strict=True):
        for label, colour in ((1, (230, 200, 60)), (2, (40, 60, 120))):
            y, x = rng.integers(size // 4, 3 * size // 4, size=2)
            near = np.maximum(abs(rows - y), abs(columns - x)) if label == 1 else np.hypot(rows - y, columns - x)
            inside = near < rng.integers(size // 8 + 1, size // 4 + 1)
            mask[inside] = label
            image[inside] = np.clip(np.array(colour) + rng.integers(-25, 26, size=(inside.sum(), 3)), 0, 255)
        mask[0, 0] = 255
    return images, masks


def write_shapes(folder, parts=(("train", 48), ("test", 12)), size=16, names=NAMES):
    """Write images and masks as files; returns the folder."""
    for seed, (part, count) in enumerate(parts):
        images, masks = shapes(count, size, seed)
        for kind, arrays in (("images", images), ("masks", masks)):
            (folder / part / kind).mkdir(parents=True)
            for number, pixels in enumerate(arrays):
                Image.fromarray(pixels).save(folder / part / kind / f"{number:03d}.png")
    if names:
        (folder / "classes.txt").write_text("\n".join(names) + "\n")
    return folder


def smoothing(count, length=32, seed=0):
    """Return rough signals (count, 1, length) and the same, smoothed by a window of five steps."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 1, length)) + 0.3 * rng.standard_normal((count, 1, 1))
    padded = np.pad(x[:, 0], ((0, 0), (2, 2)), mode="edge")
    y = 3 + 2 * np.stack([padded[:, i : i + length] for i in range(5)]).mean(axis=0)[:, None]
    return x.astype(np.float32), y.astype(np.float32)


def write_smoothing(path, train=60, test=20):
    """Write a regression of signals; returns the file."""
    (x, y), (x_test, y_test) = smoothing(train), smoothing(test, seed=1)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return path
