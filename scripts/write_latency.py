"""Write docs/latency.md and its picture from the results of bench_latency and bench_fit.

scripts/write_latency.py       # from docs/results/latency.json and docs/results/fit.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from _page import save_figure

from latency_tables import write_atomic

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ROOT = Path(__file__).resolve().parent.parent
LATENCY = ROOT / "docs" / "results" / "latency.json"
FIT = ROOT / "docs" / "results" / "fit.json"
PAGE = ROOT / "docs" / "latency.md"
PICTURE = ROOT / "docs" / "latency.png"
_HEAD = """# How well tables predict whole networks

Written by `scripts/write_latency.py` from results of `scripts/bench_latency.py`. [measuring.md](measuring.md)
explains the terms.

## The shipped tables

{summary}
Predictions of 50 held-out networks for each table: first with nothing fitted to whole networks, then corrected with
ten other networks, which is what a table predicts. The last column is the share of the 50 networks inside their 90 %
intervals. (Correct intervals contain 85-95 % of 50 networks in three of four validations; over 30 profiles within two
hours these contained 91 %.) Profiling and validating took 31-46 seconds at 32 pixels (int8: 161) and 225-239 seconds
for imagenet at four sizes, on two cores. The tables of one image size are not shipped.

Measurements with one thread repeat well on this machine, two virtual cores of a shared host: for 200 other networks,
measured half an hour later or more, predictions were off by 1.7 % (`nasbench201`) and 1.4 % (tiny) on average, and 92
and 93 % of the networks were inside their intervals. Measurements with two threads repeat less well: corrected
predictions of four profiles of the tiny networks were off by 1.7 to 2.5 %, and those of the shipped table by 3.6 % on
200 other networks ten minutes later (intervals: 72 %), when networks took 3-4 % longer than before. For
`nasbench201`, networks of microsecond operators in many branches, prices alone do not explain latencies with two
threads: the cost of an operator depends on which core wrote its input. Every profile is off by about 5 %, on the same
networks in the same direction; prices of operators and core crossings that are fitted to 410 whole networks would
still be off by 3.4-3.6 %.

## Networks that a table has not been fitted to

*Alone* sums operators that were measured in their own sessions; *alone minus dispatch* subtracts the cost of an empty
session from each. *MACs* fits one factor, *additive fit* (`hwnas fit`) all prices, to the ten networks that correct
the table (*ours, corrected*). Every prediction is compared with networks that were measured in the same interleaved
rounds as its inputs; *ours, later* compares the same table with the networks as measured in the rounds of the
operators alone, up to an hour later on a shared machine whose speed changes by a few percent. The noise floor is the
median difference between two measurements of one network at one speed of the machine.
"""
_PICTURE = """
![Predicted against measured latency](latency.png)

Predicted and measured latency: each point is a held-out network; the shaded band shows errors of up to 10 %.
"""
_FIT_HEAD = """
## Tables from whole networks alone

`hwnas fit` on ten random rows of a device's column of NAS-Bench-201, all other rows as test set, none trimmed; means
over {draws} draws. The noise floor of a column is the median difference between isomorphic cells that also have the
same operations. On the right the Spearman of two simpler fits to the same rows: multiply-accumulates, and plain
non-negative least squares on the operations of the cells. The published mean of
HELP (Lee et al. 2021, arXiv 2106.08630) with ten samples is .932, over six devices, some of them different, with
trimmed test sets. Measured by `scripts/bench_fit.py`.
"""


def page(latency: dict[str, Any], fit: dict[str, Any] | None) -> str:
    """Write the whole page."""
    latency = {name: {**result, "predictions": _renamed(result["predictions"])} for name, result in latency.items()}
    parts = [_HEAD.format(summary=summary(latency))]
    for name, result in latency.items():
        validated = result["table_validation"]
        floor = result["noise_floor"]
        parts.append(f"\n### {title(name, result)}\n\n{result['networks']} networks of ")
        measured = result["predictions"]["ours, nothing fitted"]["measured_ms"]
        parts.append(f"{min(measured):.3g}-{max(measured):.3g} ms; noise floor when the table was made ")
        parts.append(
            f"{validated['noise_floor']['median']:.2%} (90th percentile {validated['noise_floor']['p90']:.2%})"
        )
        if floor:
            parts.append(f", when its operators were measured alone {floor['median']:.2%} ({floor['p90']:.2%})")
        parts.append(f". 90 % intervals contained {validated['interval_coverage']:.0%} of the networks.\n\n")
        parts.append("| prediction | Spearman | Kendall | MAPE | within 5 % | within 10 % |\n")
        parts.append("|---|---|---|---|---|---|\n")
        for kind, row in result["predictions"].items():
            parts.append(
                f"| {kind} | {row['spearman']:.4f} | {row['kendall']:.4f} | {row['mape']:.2%} "
                f"| {row['within_5']:.0%} | {row['within_10']:.0%} |\n"
            )
    parts.append(_PICTURE)
    if fit:
        parts.append(fit_section(fit))
    return "".join(parts)


def _renamed(predictions: dict[str, Any]) -> dict[str, Any]:
    """Rename what results of earlier versions call calibrated predictions."""
    return {name.replace("calibrated", "corrected"): row for name, row in predictions.items()}


def summary(latency: dict[str, Any]) -> str:
    """Write a table with one row for each latency table."""
    lines = [
        "| table | Spearman | MAPE | within 10 % | corrected: MAPE | within 5 / 10 % | noise floor | intervals |\n"
    ]
    lines.append("|---|---|---|---|---|---|---|---|\n")
    for name, result in latency.items():
        plain, ours = (result["predictions"][f"ours, {kind}"] for kind in ("nothing fitted", "corrected"))
        report = result["table_validation"]
        lines.append(
            f"| {title(name, result)} | {plain['spearman']:.4f} | {plain['mape']:.1%} | {plain['within_10']:.0%} "
            f"| {ours['mape']:.1%} | {ours['within_5']:.0%} / {ours['within_10']:.0%} "
            f"| {report['noise_floor']['median']:.1%} | {report['interval_coverage']:.0%} |\n"
        )
    return "".join(lines)


def title(name: str, result: dict[str, Any]) -> str:
    """Describe a latency table: space, image sizes, threads and precision."""
    settings, identity = result["space"]["settings"], result["identity"]
    sizes = settings.get("resolution") or [settings["image_size"]]
    pixels = f"{min(sizes)}-{max(sizes)}" if len(sizes) > 1 else str(sizes[0])
    preset = f" {settings['preset']}" if "preset" in settings else ""
    threads = identity.get("threads", 1)
    dtype = "" if identity["dtype"] == "float32" else f", {identity['dtype']}"
    return f"{result['space']['name']}{preset}, {pixels} pixels, {threads} thread{'s' if threads != 1 else ''}{dtype}"


def fit_section(fit: dict[str, Any]) -> str:
    """Write the section on `hwnas fit`."""
    lines = [_FIT_HEAD.format(**fit["settings"])]
    lines.append("\n| column | Spearman | MAPE | within 5 % | within 10 % | noise floor | MACs | NNLS |\n")
    lines.append("|---|---|---|---|---|---|---|---|\n")
    for name, row in [*fit["columns"].items(), ("mean", fit["mean"])]:
        ours = row["fit"]
        lines.append(
            f"| {name} | {ours['spearman']:.3f} | {ours['mape']:.1%} | {ours['within_5']:.0%} "
            f"| {ours['within_10']:.0%} | {row['noise_floor']['median']:.1%} "
            f"| {row['macs']['spearman']:.3f} | {row['nnls_choices']['spearman']:.3f} |\n"
        )
    return "".join(lines)


def draw(latency: dict[str, Any], path: Path) -> None:
    """Draw a panel for each table: predictions with nothing fitted, and from operators measured alone."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    latency = {name: result for name, result in latency.items() if "alone" in result["predictions"]}
    columns = 3
    rows = -(-len(latency) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(4 * columns, 3.9 * rows), squeeze=False)
    for panel in panels.flat[len(latency) :]:
        panel.set_visible(False)
    for panel, (name, result) in zip(panels.flat, latency.items(), strict=False):
        measured = result["predictions"]["alone"]["measured_ms"]
        ends = [0.9 * min(measured), 1.1 * max(measured)]
        panel.fill_between(ends, [0.9 * e for e in ends], [1.1 * e for e in ends], color="0.9", lw=0)
        panel.plot(ends, ends, color="0.6", lw=1)
        for kind, colour in (("alone", "#c44e52"), ("ours, nothing fitted", "#4c72b0")):
            row = result["predictions"][kind]
            panel.plot(row["measured_ms"], row["predicted_ms"], ".", color=colour, label=kind, ms=5)
        panel.set(xscale="log", yscale="log", xlabel="measured (ms)", ylabel="predicted (ms)")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
            axis.set_minor_formatter(ticker.NullFormatter())
        panel.set_title(title(name, result), fontsize=9)
        panel.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    save_figure(figure, path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Write the page and its picture."""
    latency = json.loads(LATENCY.read_text(encoding="utf-8"))
    fit = json.loads(FIT.read_text(encoding="utf-8")) if FIT.exists() else None
    write_atomic(PAGE, page(latency, fit))
    draw(latency, PICTURE)
    print(PAGE)


if __name__ == "__main__":
    main()
