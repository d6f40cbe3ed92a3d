"""Write the field task: charges on a plate; the target is the potential that they make everywhere.

    python scripts/write_fields.py fields.npz [--fields 1500] [--size 32] [--charges 6]

Each sample is a map of a few point charges, positive and negative. The target solves Poisson's equation, minus the
five-point Laplacian of u = charges, with u = 0 outside the map: it is exact, by a sine transform. The potential of a
charge reaches over the whole map, so a network has to look far: `hwnas search --task dense --data fields.npz`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt
from _npz import both_parts, write_npz
from scipy.fft import dstn, idstn

Maps = npt.NDArray[np.float32]
STRENGTH = (0.5, 1.5)
"""Least and greatest strength of a charge; its sign is drawn."""


def potential(charges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Solve Poisson's equation on maps ``(..., n, n)`` with five-point differences; the potential outside is 0."""
    n = charges.shape[-1]
    own = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    values = dstn(charges, type=1, axes=(-2, -1)) / (own[:, None] + own[None, :])
    return np.asarray(idstn(values, type=1, axes=(-2, -1)), dtype=np.float64)


def fields(count: int, *, size: int, charges: int, seed: int) -> tuple[Maps, Maps]:
    """Draw maps of charges and their potentials.

    Args:
        count: Number of maps.
        size: Height and width.
        charges: Charges of each map.
        seed: Decides everything.

    Returns:
        Charges and potentials, each ``(count, 1, size, size)``.
    """
    rng = np.random.default_rng(seed)
    maps = np.zeros((count, size * size))
    for row in maps:
        places = rng.choice(size * size, charges, replace=False)
        row[places] = rng.uniform(*STRENGTH, charges) * rng.choice([-1.0, 1.0], charges)
    x = maps.reshape(count, 1, size, size)
    return x.astype(np.float32), potential(x).astype(np.float32)


def make_parts(count: int, *, size: int, charges: int, seed: int) -> dict[str, Maps]:
    """Return the arrays of the task: ``x_train``, ``y_train``, ``x_test``, ``y_test``."""
    return both_parts(lambda _, own, part_seed: fields(own, size=size, charges=charges, seed=part_seed), count, seed)


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description="Write the field task: the potential of charges on a plate.")
    parser.add_argument("out", type=Path, help="an .npz file")
    parser.add_argument("--fields", type=int, default=1500, help="maps of the train part (default 1500)")
    parser.add_argument("--size", type=int, default=32, help="height and width (default 32)")
    parser.add_argument("--charges", type=int, default=6, help="charges of each map (default 6)")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.fields < 32 or given.size < 8 or not 1 <= given.charges <= given.size**2 or given.seed < 0:
        parser.error("needs --fields 32 or more, --size 8 or more, and from one charge to one for each place")
    arrays = make_parts(given.fields, size=given.size, charges=given.charges, seed=given.seed)
    write_npz(given.out, arrays)
    sys.stdout.write(f"{given.out}: {len(arrays['x_train'])} maps to train on, {len(arrays['x_test'])} to test on\n")


if __name__ == "__main__":
    main()
