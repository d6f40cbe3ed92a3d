"""Tiny signals: WAV files, CSV recordings and arrays whose classes can be learned, and a space for them."""

import wave
from pathlib import Path

import numpy as np

from hwnas.spaces import make_space

TONES = {"high": 1200.0, "low": 300.0, "mid": 600.0}
RATE = 8000
PLAIN = {
    "format": "hwnas-space",
    "version": 1,
    "name": "plain1d",
    "settings": {"classes": 3, "image_channels": 1, "image_size": 400},
    "input": [{"setting": "image_channels"}, {"setting": "image_size"}],
    "choices": [{"name": "width", "values": [8, 16]}, {"name": "kernel", "values": [3, 5, 9]}],
    "nodes": [
        {
            "name": "stem",
            "op": "conv",
            "inputs": ["input"],
            "attributes": {"channels": {"choice": "width"}, "kernel": {"choice": "kernel"}, "stride": 2, "act": "relu"},
        },
        {
            "name": "block",
            "op": "conv",
            "inputs": ["stem"],
            "attributes": {"channels": {"choice": "width"}, "kernel": 5, "stride": 2, "act": "relu"},
        },
        {"name": "pooled", "op": "global_pool", "inputs": ["block"]},
        {"name": "classes", "op": "linear", "inputs": ["pooled"], "attributes": {"features": {"setting": "classes"}}},
    ],
    "output": "classes",
}


def plain_space(**settings):
    """A small space of 1-D networks."""
    return make_space("declared", declaration=PLAIN, **settings)


def tone(rng, hertz, length=400, rate=RATE, channels=1):
    """A noisy tone ``(length, channels)`` on -1..1."""
    phase, loud = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.6)
    times = np.arange(length) / rate
    values = loud * np.sin(2 * np.pi * hertz * times + phase)
    return np.stack([values + 0.05 * rng.standard_normal(length) for _ in range(channels)], axis=1)


def write_wav(path: Path, values, rate=RATE, width=2):
    """Write ``(n, channels)`` on -1..1 with so many bytes a sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = np.clip(
        np.round(np.asarray(values) * 2 ** (8 * width - 1)), -(2 ** (8 * width - 1)), 2 ** (8 * width - 1) - 1
    )
    whole = whole.astype(np.int64) + (128 if width == 1 else 0)
    raw = b"".join(int(value).to_bytes(width, "little", signed=width > 1) for value in whole.ravel())
    with wave.open(str(path), "wb") as file:
        file.setnchannels(values.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw)


def tone_folder(root: Path, speakers=("ann", "bob", "cid", "dan"), takes=4, parts=("train",), length=400):
    """``PART/<class>/<class>_<speaker>_<take>.wav``."""
    rng = np.random.default_rng(0)
    for part in parts:
        for name, hertz in TONES.items():
            for speaker in speakers:
                for take in range(takes):
                    write_wav(root / part / name / f"{name}_{speaker}_{take}.wav", tone(rng, hertz, length))
    return root


def write_csv(path: Path, rows, header=None):
    """Write rows of cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [",".join(map(str, row)) for row in ([header] if header else []) + list(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def motion(rng, kind, rows=120):
    """Rows of two axes of a made-up motion."""
    speed = {"walk": 0.2, "run": 0.6}[kind]
    angle = speed * np.arange(rows) + rng.uniform(0, 6)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1) + 0.1 * rng.standard_normal((rows, 2))


def arrays(path: Path, count=24, channels=2, length=64, values=False, groups=False):
    """An ``.npz`` file of signals with three classes, or with the speed of a sine as value."""
    rng = np.random.default_rng(1)
    content = {}
    for part in ("train", "test"):
        labels = np.arange(count) % 3
        speeds = 0.2 + 0.4 * labels + (0.1 * rng.random(count) if values else 0)
        angles = speeds[:, None, None] * np.arange(length) + rng.uniform(0, 6, (count, channels, 1))
        content[f"x_{part}"] = (np.sin(angles) + 0.1 * rng.standard_normal(angles.shape)).astype(np.float32)
        content[f"y_{part}"] = speeds.astype(np.float32) if values else labels + 5
        if groups:
            content[f"group_{part}"] = np.arange(count) // 3
    np.savez(path, **content)
    return path
