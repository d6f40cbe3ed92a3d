"""`hwnas draw`: networks to measure by hand on any device, as a folder; `hwnas fit` takes what was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np

from hwnas._common._seeds import require_seed
from hwnas._costs._draw import draw_spread
from hwnas._costs._soundness import require_sound
from hwnas._devices._make import CPU_PRECISIONS
from hwnas._errors import HwnasError
from hwnas._tables._build import MOST_NETWORKS
from hwnas._tables._fit import LEAST_SAMPLES, MOST_BATCH
from hwnas._tables._new_folder import new_folder
from hwnas.spaces import Space, make_space
from latency_tables import write_atomic
from profilers import random_model

NETWORKS = 12
_README = """Networks to be measured on a device, fastest first by a rough estimate.

1. Copy this folder to the device. Where it has Python 3.9 or newer with numpy and onnxruntime, run there

       python3 runner.py

   Anywhere else, time the files in networks/ with whatever the device offers, all of them several times in turn on an
   idle device, and write each latency in milliseconds into the column latency_ms of measured.csv.
2. Bring measured.csv back, and run where hwnas is installed:

       hwnas fit measured.csv --latency-column latency_ms --device NAME {options} -o NAME.json
"""


def draw(
    space: Space | str = "mobilenetv3",
    *,
    out: str | Path,
    networks: int = NETWORKS,
    seed: int = 0,
    batch: int = 1,
    precision: str = "fp32",
    options: str = "",
    progress: Callable[[str], None] = lambda text: None,
) -> list[str]:
    """Write networks of a space as ONNX files, with what measures them, as ``hwnas draw`` does.

    They cover the range of latencies, the space's fastest and slowest network (by an estimate) included. Weights are
    random.

    Args:
        space: A space, or the name of one in its default settings.
        out: The folder to write; absent or empty.
        networks: How many, at least as many as a fit needs; fewer come where the space has no more.
        seed: Random seed of the networks and their weights.
        batch: Images of one inference.
        precision: ``"fp32"`` or ``"int8"``.
        options: Those of the space for `hwnas fit`, for the README.
        progress: Receives progress lines.

    Returns:
        The networks' texts, in the order of the files.

    Raises:
        HwnasError: An option is out of range, the space has too few networks for a fit, or the folder is in use or
            cannot be written.
    """
    folder = Path(out)
    _require_options(networks, seed, batch, precision)
    drawn_space = make_space(space) if isinstance(space, str) else space
    require_sound(drawn_space)
    with new_folder(folder):
        (folder / "networks").mkdir(parents=True)
        archs = draw_spread(drawn_space, networks, np.random.default_rng((seed, 13)))
        if len(archs) < LEAST_SAMPLES:
            raise HwnasError(
                f"space {drawn_space.name} has {len(archs)} networks, and `hwnas fit` needs {LEAST_SAMPLES} or more; "
                "profile the device instead, or give the space more choices"
            )
        rows = []
        for number, arch in enumerate(archs):
            name = f"{number:0{len(str(len(archs) - 1))}d}.onnx"
            content = random_model(drawn_space.graph(arch), seed + number, (), batch=batch, precision=precision)
            write_atomic(folder / "networks" / name, content)
            rows.append((drawn_space.format(arch), name, ""))
            progress(f"network {number + 1} of {len(archs)}")
        write_atomic(
            folder / "runner.py", resources.files("hwnas").joinpath("_tables", "_draw_runner.py").read_text("utf-8")
        )
        typed = " ".join(part for part in (options or f"--space {drawn_space.name}", f"--batch {batch}") if part)
        write_atomic(folder / "README.txt", _README.format(options=typed))
        write_atomic(folder / "measured.csv", _csv([("arch", "file", "latency_ms"), *rows]))
    return [text for text, _, _ in rows]


def _require_options(networks: int, seed: int, batch: int, precision: str) -> None:
    require_seed(seed)
    for name, value, least, most in (
        ("--networks", networks, LEAST_SAMPLES, MOST_NETWORKS),
        ("--batch", batch, 1, MOST_BATCH),
    ):
        if type(value) is not int or not least <= value <= most:
            raise HwnasError(f"{name} must be from {least} to {most:,}, got {str(value)[:20]}")
    if precision not in CPU_PRECISIONS:
        raise HwnasError(f"--precision must be {' or '.join(CPU_PRECISIONS)}, got {precision!r}")


def _csv(rows: list[tuple[str, str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
