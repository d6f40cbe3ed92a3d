"""Write recordings of a watch as windows, for `hwnas search --data motion.npz`: 6 axes, 7 exercises, 10 people.

    pip install seglearn pandas
    python scripts/write_motion.py motion.npz [--window 200] [--hop 100]

The data are those of the package seglearn (Burns and Whyne 2018): 140 recordings of shoulder exercises, acceleration
and rotation at 50 Hz, each of one person. Windows are cut from each recording alone; a window's group is its person. By
default windows overlap by a half. seglearn keeps its array as a pickle: loading it executes what the package brings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt
from _npz import write_npz


def windows(
    recordings: Sequence[npt.NDArray[np.float64]], labels: Sequence[int], people: Sequence[int], window: int, hop: int
) -> dict[str, npt.NDArray[Any]]:
    """Cut recordings into windows.

    Args:
        recordings: Arrays ``(samples, channels)``.
        labels: The class of each recording.
        people: Who each one is of.
        window: Samples of a window.
        hop: Samples between the starts of two windows.

    Returns:
        ``x_train`` ``(n, channels, window)``, ``y_train`` and ``group_train`` ``(n,)``.
    """
    x, y, group = [], [], []
    for recording, label, person in zip(recordings, labels, people, strict=True):
        for start in range(0, len(recording) - window + 1, hop):
            x.append(recording[start : start + window].T.astype(np.float32))
            y.append(label)
            group.append(person)
    return {"x_train": np.stack(x), "y_train": np.array(y), "group_train": np.array(group)}


def main() -> None:
    """Load, cut and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help=".npz file to write")
    parser.add_argument("--window", type=int, default=200, help="samples of a window (default 200, 4 s)")
    parser.add_argument("--hop", type=int, default=100, help="samples between two windows (default 100)")
    options = parser.parse_args()
    try:
        from seglearn.datasets import load_watch
    except ImportError as error:
        raise SystemExit(f"write_motion.py needs seglearn and pandas ({error}); pip install seglearn pandas") from None
    watch: Mapping[str, Any] = load_watch()
    arrays = windows(watch["X"], watch["y"], watch["subject"], options.window, options.hop)
    write_npz(options.output, arrays)
    people = len(np.unique(arrays["group_train"]))
    print(f"{len(arrays['y_train'])} windows of {people} people: {options.output}")


if __name__ == "__main__":
    main()
