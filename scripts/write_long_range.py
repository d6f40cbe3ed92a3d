"""Write the long-range task: signals with two pulses; the label says how far these are from each other.

    python scripts/write_long_range.py pulses.npz [--signals 3000] [--channels 4] [--length 1000] [--noise 1.0]

Every signal is white noise with two equal pulses of 12 samples in all channels. Their distance is 50 to 200 samples, in
one of four ranges with gaps between them. The range is the label. A network that never looks at 50 samples at once sees
single pulses: the number of pulses, their shape and heights, and where the first one is, are drawn independently of the
label, and no pulse is near an end of the signal, where padding would tell its place. So such a network is at chance,
one in four, and `hwnas search --task signal --data pulses.npz` has to find kernels that reach far enough.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt
from _npz import both_parts, write_npz

Signals = npt.NDArray[np.float32]
RANGES = ((50, 80), (90, 120), (130, 160), (170, 200))
"""Least and greatest distance of the two pulses for each label, in samples."""
PULSE, FROM_ENDS = 12, 200
"""Samples of a pulse, and between any pulse and the ends of a signal."""
HEIGHTS = (3.0, 5.0)
"""Least and greatest height of a pulse where the noise has a deviation of 1."""


def long_range(
    count: int, *, channels: int, length: int, noise: float, seed: int
) -> tuple[Signals, npt.NDArray[np.int64]]:
    """Draw signals with two pulses.

    Args:
        count: Number of signals; the labels are equally frequent.
        channels: Channels of each signal.
        length: Samples of each signal.
        noise: Deviation of the noise.
        seed: Decides everything.

    Returns:
        Signals ``(count, channels, length)`` and labels ``(count,)``, indices into `RANGES`.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(RANGES)).astype(np.int64)
    signals = (noise * rng.standard_normal((count, channels, length))).astype(np.float32)
    shape = np.sin(np.pi * (np.arange(PULSE) + 0.5) / PULSE)
    last = length - FROM_ENDS - PULSE - RANGES[-1][1]
    for signal, label in zip(signals, labels, strict=True):
        low, high = RANGES[label]
        first = int(rng.integers(FROM_ENDS, last + 1))
        for start in (first, first + int(rng.integers(low, high + 1))):
            signal[:, start : start + PULSE] += (rng.uniform(*HEIGHTS) * shape).astype(np.float32)
    return signals, labels


def make_parts(
    signals: int, *, channels: int, length: int, noise: float, seed: int
) -> dict[str, Signals | npt.NDArray[np.int64]]:
    """Return the arrays of the task: ``x_train``, ``y_train``, ``x_test``, ``y_test``.

    Args:
        signals: Signals of the train part.
        channels: Channels of each signal.
        length: Samples of each signal.
        noise: Deviation of the noise.
        seed: Decides everything.
    """
    return both_parts(
        lambda _, own, part_seed: long_range(own, channels=channels, length=length, noise=noise, seed=part_seed),
        signals,
        seed,
    )


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description="Write the long-range task: the label is the distance of two pulses.")
    parser.add_argument("out", type=Path, help="an .npz file")
    parser.add_argument("--signals", type=int, default=3000, help="signals of the train part (default 3000)")
    parser.add_argument("--channels", type=int, default=4, help="channels of each signal (default 4)")
    parser.add_argument("--length", type=int, default=1000, help="samples of each signal (default 1000)")
    parser.add_argument("--noise", type=float, default=1.0, help="deviation of the noise; pulses are 3 to 5 high")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    shortest = 2 * FROM_ENDS + PULSE + RANGES[-1][1] + 1
    if given.signals < 32 or given.channels < 1 or given.length < shortest or given.noise < 0 or given.seed < 0:
        parser.error(
            f"needs --signals 32 or more, --channels 1 or more, --length {shortest} or more, --noise 0 or more"
        )
    settings = {name: getattr(given, name) for name in ("channels", "length", "noise", "seed")}
    arrays = make_parts(given.signals, **settings)
    write_npz(given.out, arrays)
    sys.stdout.write(f"{given.out}: {len(arrays['x_train'])} signals to train on, {len(arrays['x_test'])} to test on\n")


if __name__ == "__main__":
    main()
