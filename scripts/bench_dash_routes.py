"""Time the ways to compute a mixture of convolutions over kernel sizes and dilations, and judge the choice among them.

    python scripts/bench_dash_routes.py [--repeats 5] [--layers 60] [--json docs/results/dash-routes.json] [--fit]

Five ways, forward and backward, one thread: *mixed results* (a convolution for each kernel size and dilation),
*results* (one for each dilation, with the sum of its kernel sizes), *weights* (one dense convolution), *fft* (the dense
kernel in the frequency domain), and the *choice* among the last three that `hwnas.oneshot.Mixture` makes. The first
part times layers of the extents of DASH's networks. The second draws layers of many extents and compares the choice
with the fastest way. ``--fit`` prints the prices that the choice follows: even drawn layers are fitted, odd ones judge.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from hwnas.oneshot import ROUTES, Kernel, Route, SummedLayer, fastest_route, summed_convolution
from latency_tables import write_atomic

DILATIONS = (1, 3, 7, 15)
KERNELS = {1: (3, 7, 11, 15, 19), 2: (3, 5, 7, 9)}
"""Kernel sizes by the number of axes."""
MIXED = "mixed results"
_MOST_MS = 1500.0
_SECONDS = 0.3


def layer_of(
    axes: int, channels: int, size: int, batch: int, *, depthwise: bool, windows: Sequence[tuple[int, int]], stride: int
) -> SummedLayer:
    """Describe a layer; kernels are cut to what meets elements, as training does."""
    cut = [(min(kernel, 2 * ((size - 1) // dilation) + 1), dilation) for kernel, dilation in windows]
    return SummedLayer(
        (batch, channels, *(size,) * axes),
        channels,
        tuple(((kernel,) * axes, (dilation,) * axes) for kernel, dilation in cut),
        (stride,) * axes,
        channels if depthwise else 1,
    )


def all_windows(axes: int) -> list[tuple[int, int]]:
    """Return every kernel size with every dilation."""
    return [(kernel, dilation) for dilation in DILATIONS for kernel in KERNELS[axes]]


def by_dilation(axes: int) -> list[tuple[int, int]]:
    """Return the largest kernel of each dilation, which holds the smaller ones."""
    return [(max(KERNELS[axes]), dilation) for dilation in DILATIONS]


def milliseconds(layer: SummedLayer, route: Route, repeats: int) -> float:
    """Return the least time of a forward and a backward pass."""
    x = torch.randn(layer.input, requires_grad=True)
    inputs = layer.input[1] // layer.groups
    kernels = [
        Kernel(dilation, torch.randn(layer.outputs, inputs, *kernel, requires_grad=True))
        for kernel, dilation in layer.windows
    ]
    best, began = float("inf"), time.perf_counter()
    for _ in range(repeats + 1):
        start = time.perf_counter()
        y = summed_convolution(x, kernels, stride=layer.stride, groups=layer.groups, route=route)
        y.backward(y.detach())  # type: ignore[no-untyped-call]
        best = min(best, 1000 * (time.perf_counter() - start))
        if time.perf_counter() - began > _SECONDS * repeats:
            break
    return best


def named_layers() -> dict[str, tuple[SummedLayer, SummedLayer]]:
    """Return layers by name: with every kernel size of its own, and with one kernel for each dilation."""
    layers = {}
    for axes, channels, size in ((1, 32, 1000), (1, 32, 250), (1, 64, 125), (2, 16, 32), (2, 32, 16), (2, 64, 8)):
        for depthwise in (False, True):
            both = tuple(
                layer_of(axes, channels, size, 16, depthwise=depthwise, windows=windows, stride=1)
                for windows in (all_windows(axes), by_dilation(axes))
            )
            kind = "depthwise" if depthwise else "full"
            layers[f"{axes}-D, {channels} channels, {size}, {kind}"] = (both[0], both[1])
    return layers


def drawn_layers(count: int, seed: int = 0) -> list[SummedLayer]:
    """Draw layers of many extents."""
    rng = np.random.default_rng(seed)
    layers: list[SummedLayer] = []
    while len(layers) < count:
        axes = int(rng.integers(1, 3))
        sizes = (32, 64, 128, 250, 500, 1000, 2000) if axes == 1 else (4, 8, 16, 24, 32, 48)
        dilations = rng.choice(DILATIONS, size=int(rng.integers(1, 5)), replace=False)
        most = int(rng.choice(KERNELS[axes]))
        layer = layer_of(
            axes,
            int(rng.choice((8, 16, 32, 64, 128))),
            int(rng.choice(sizes)),
            int(rng.choice((4, 16, 64))),
            depthwise=bool(rng.integers(2)),
            windows=[(most, int(dilation)) for dilation in sorted(dilations)],
            stride=int(rng.choice((1, 1, 1, 2))),
        )
        if layer.work("results")[0] < 2e9:
            layers.append(layer)
    return layers


def timed_named(repeats: int) -> dict[str, dict[str, Any]]:
    """Time the named layers and print a line for each."""
    rows = {}
    for name, (every, largest) in named_layers().items():
        ms = {MIXED: milliseconds(every, "results", repeats)}
        ms |= {route: milliseconds(largest, route, repeats) for route in ROUTES}
        chosen = fastest_route(largest)
        rows[name] = {"ms": ms, "chosen": chosen, "speedup": ms[MIXED] / ms[chosen]}
        times = "  ".join(f"{route} {value:.1f}" for route, value in ms.items())
        print(f"{name:<36} {times}  -> {chosen}, {ms[MIXED] / ms[chosen]:.1f}x", flush=True)
    return rows


def timed_drawn(count: int, repeats: int) -> list[dict[str, Any]]:
    """Time the routes of drawn layers; those that would take too long on the way are left out."""
    rows: list[dict[str, Any]] = []
    for layer in drawn_layers(count):
        ms = {
            route: milliseconds(layer, route, repeats)
            for route in ROUTES
            if route != "weights" or layer.work("weights")[0] < 20 * layer.work("results")[0] + 1e6
        }
        rows.append({"layer": _fields(layer), "ms": ms, "work": {route: layer.work(route) for route in ms}})
    return rows


def fitted(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, bool, bool], list[float]]:
    """Fit prices to timings, so that relative errors are small; prices are 0 or more."""
    from scipy.optimize import nnls

    prices: dict[tuple[str, bool, bool], list[float]] = {}
    for route in ROUTES:
        for several in (False, True):
            for grouped in (False, True):
                own = [
                    (row["work"][route], row["ms"][route])
                    for row in rows
                    if route in row["ms"]
                    and (len(row["layer"]["input"]) > 3) == several
                    and (row["layer"]["groups"] > 1) == grouped
                ]
                work, ms = np.array([w for w, _ in own]), np.array([m for _, m in own])
                prices[route, several, grouped] = [
                    float(f"{p:.3g}") for p in nnls(work / ms[:, None], np.ones(len(ms)))[0]
                ]
    return prices


def judged(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how much longer than the fastest way the chosen one takes, and each way taken always."""
    result: dict[str, Any] = {"layers": len(rows)}
    ratios: dict[str, list[float]] = {"choice": [], **{route: [] for route in ROUTES}}
    for row in rows:
        least = min(row["ms"].values())
        layer = _layer(row["layer"])
        ratios["choice"].append(row["ms"].get(fastest_route(layer), float("inf")) / least)
        for route, value in row["ms"].items():
            ratios[route].append(value / least)
    for name, values in ratios.items():
        result[name] = {"mean": float(np.exp(np.mean(np.log(values)))), "worst": float(np.max(values))}
        print(f"{name:<10} takes {result[name]['mean']:.2f} times as long as the fastest, {max(values):.2f} at worst")
    right = sum(ratio == 1 for ratio in ratios["choice"])
    print(f"the choice is the fastest in {right} of {len(rows)} layers")
    return {**result, "right": right}


def _fields(layer: SummedLayer) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in ("input", "outputs", "windows", "stride", "groups")}


def _layer(fields: dict[str, Any]) -> SummedLayer:
    windows = tuple((tuple(kernel), tuple(dilation)) for kernel, dilation in fields["windows"])
    return SummedLayer(tuple(fields["input"]), fields["outputs"], windows, tuple(fields["stride"]), fields["groups"])


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--layers", type=int, default=60, help="drawn layers (default 60)")
    parser.add_argument("--fit", action="store_true", help="print prices fitted to the even ones of the drawn layers")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = timed_drawn(args.layers, args.repeats)
    if args.fit:
        for key, prices in fitted(rows[::2]).items():
            print(f"    {key!r}: {tuple(prices)!r},")
        return 0
    result: dict[str, Any] = {"threads": 1, "named": timed_named(args.repeats), "judged": judged(rows[1::2])}
    if args.json:
        write_atomic(args.json, json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
