"""Writes docs/cifar10.md and its pictures from results of scripts/cifar10.py in docs/results."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from _page import wrapped

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SCALES = ("small", "full")
SAMPLINGS = ("uniform", "bestup")
COLOURS = {"uniform": "#8a94a0", "bestup": "#1f6fb4"}


def mean_and_spread(values: list[float], form: str) -> str:
    """Mean and standard deviation over seeds."""
    return f"{np.mean(values):{form}} ± {np.std(values, ddof=1 if len(values) > 1 else 0):{form}}"


def rank_lines(record: dict[str, Any]) -> list[str]:
    """Rank quality, fronts and ends of the two samplings."""
    rows = record["supernets"]
    lines = [
        "| subnets of a step | Kendall's tau by seed (90 % interval) | hypervolume | smallest | largest | training |",
        "|---|---|---|---|---|---|",
    ]
    for name in SAMPLINGS:
        row = rows[name]
        taus = ", ".join(f"{t['tau']:.2f} ({t['low']:.2f}-{t['high']:.2f})" for t in row["tau_by_seed"])
        cells = [
            f"`{name}`",
            taus,
            mean_and_spread(row["hypervolume"], ".4f"),
            mean_and_spread(row["smallest"], ".2%"),
            mean_and_spread(row["largest"], ".2%"),
            f"{np.mean(row['training_seconds']) / 60:.1f} min",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def baseline_lines(record: dict[str, Any]) -> list[str]:
    """All families at each latency point."""
    lines = [
        "| at most | network | measured | again | MACs | parameters | test accuracy of each seed | mean |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for point in record["baselines"]:
        ranked = sorted(point["families"].items(), key=lambda item: -np.mean([one["test"] for one in item[1]]))
        for family, runs in ranked:
            width = runs[0]["network"].partition(":")[2]
            cells = [
                f"{point['limit_ms']:.3f} ms",
                "**hwnas**" if family == "hwnas" else f"{family} x {width}",
                f"{np.mean([one['ms'] for one in runs]):.3f} ms",
                f"{np.mean([one['repeat_ms'] for one in runs]):.3f} ms",
                f"{np.mean([one['macs'] for one in runs]) / 1e6:.1f} M",
                f"{np.mean([one['params'] for one in runs]) / 1e3:.0f} k",
                ", ".join(f"{one['test']:.2%}" for one in runs),
                f"{np.mean([one['test'] for one in runs]):.2%}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def draw(record: dict[str, Any], path: Path) -> None:
    """Shared against stand-alone accuracy, and everything that was compared over latency."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    alone = [one["test"] for one in record["supernets"]["networks"]]
    for name in SAMPLINGS:
        shared = np.mean(record["supernets"][name]["shared"], axis=0)
        left.scatter(alone, shared, s=16, color=COLOURS[name], label=name)
    left.set_xlabel("test accuracy, trained alone")
    left.set_ylabel("test accuracy, shared weights (mean of seeds)")
    left.legend(frameon=False, fontsize=8)
    families = sorted({family for point in record["baselines"] for family in point["families"]})
    for index, family in enumerate(families):
        points = [p["families"][family] for p in record["baselines"] if family in p["families"]]
        x = [float(np.mean([one["ms"] for one in runs])) for runs in points]
        y = [float(np.mean([one["test"] for one in runs])) for runs in points]
        style = (
            {"linewidth": 2.2, "color": "#1f6fb4"} if family == "hwnas" else {"linewidth": 1.1, "color": f"C{index}"}
        )
        right.plot(x, y, marker="o", markersize=4, label=family, **style)  # type: ignore[arg-type]
    right.set_xscale("log")
    right.set_xlabel("measured latency (ms)")
    right.set_ylabel("test accuracy (mean of seeds)")
    if families:
        right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(color="#e6e9ec", linewidth=0.6)
    figure.savefig(path)


def section(scale: str, record: dict[str, Any]) -> list[str]:
    """One scale's results."""
    settings, data = record["settings"], record["data"]
    picture = DOCS / f"cifar10-{scale}.png"
    draw(record, picture)
    lines = [
        f"## Scale `{scale}`",
        "",
        *wrapped(
            f"""`scripts/cifar10.py --scale {scale}`: {data["train"]:,} train, {data["validation"]:,} validation and
            {data["test"]:,} test images of CIFAR-10 (JPEG); {settings["epochs"]} epochs for every network trained
            alone, {settings["supernet_epochs"]} for a supernet; latency on {record["device"]["cpu"]}, one thread;
            {record["seconds"] / 60:.0f} minutes in all."""
        ),
        *wrapped(
            f"""{len(record["supernets"]["networks"])} networks spread over latency, trained alone and cut out of
            supernets; the front that a search of {settings["samples"]} samples finds on each supernet (hypervolume of
            test accuracy above chance and log latency, scaled to 0-1); test accuracy of the smallest and the largest
            network with shared weights; {settings["seeds"]} seeds."""
        ),
        *rank_lines(record),
    ]
    if record["baselines"]:
        lines += wrapped(
            """Networks found on the `bestup` supernets, and off-the-shelf families scaled to the widest that takes no
            longer, all trained from scratch with the same recipe. At each latency every search offers the network that
            it ranks first; each is trained once, with a seed that is used for nothing else, and the best on the
            validation part is the one below, trained anew with the seeds that the others have:"""
        )
        lines += baseline_lines(record)
        for point in record["baselines"]:
            arch = point["families"]["hwnas"][0]["network"].partition(":")[2]
            lines.append(f"* {point['limit_ms']:.3f} ms: `{arch}`")
        lines.append("")
    return [*lines, f"![Rank quality, and accuracy over latency]({picture.name})", ""]


def main() -> int:
    """Writes the page."""
    lines = ["# CIFAR-10", "", "Written by `scripts/write_cifar10.py` from `docs/results`; do not edit by hand.", ""]
    for scale in SCALES:
        path = DOCS / "results" / f"cifar10-{scale}.json"
        if path.exists():
            lines += section(scale, json.loads(path.read_text(encoding="utf-8")))
    (DOCS / "cifar10.md").write_text("\n".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
