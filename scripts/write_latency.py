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

Written by `scripts/write_latency.py` from results of `scripts/bench_latency.py`. [measuring.md](measuring.md) explains
the terms.

## The tables

{summary}
The figures come from 50 held-out networks each. Columns two to four: predictions with nothing fitted to whole networks.
Columns five and six: the predictions that a table gives, corrected by ten other networks. The last column: the share of
the 50 networks that were inside their 90 % intervals. (For 50 networks, correct intervals contain 85-95 % in three of
four validations; over 30 profiles within two hours the intervals contained 91 %.) A complete profile, validation
included, took 31-46 seconds at 32 pixels (int8: 161) and 225-239 seconds for imagenet at four sizes, on two cores. The
tables of mobilenetv3 imagenet at one image size are not shipped.

On this machine (two virtual cores of a shared host), measurements on one thread repeat well. For 200 networks that the
tables had never seen, measured half an hour later and more, the mean error of the predictions was 1.7 % (`nasbench201`)
and 1.4 % (tiny), and 92 % and 93 % of the networks were inside their intervals. Two threads repeat less well. Four
profiles of the tiny networks had errors of 1.7 to 2.5 % after correction; the shipped table had 3.6 % on 200 other
networks ten minutes later (intervals: 72 %), when networks took 3-4 % longer than before. For `nasbench201`, networks
of microsecond operators in many branches, prices alone do not explain two threads: the time of an operator depends on
which core wrote its input. Every profile has an error of about 5 %, on the same networks in the same direction. Prices
of operators and core crossings fitted to 410 whole networks would still have an error of 3.4-3.6 %.

## Networks that a table has not been fitted to

| prediction | how it is made |
|---|---|
| *ours, nothing fitted* | the table's prices, with nothing fitted to whole networks |
| *ours, corrected* | the same with the correction, which is fitted to ten networks |
| *ours, later* | the corrected table, compared with measurements of the same networks in the rounds of *alone* |
| *alone* | the sum of operators that were measured in their own sessions |
| *alone minus dispatch* | the same, minus the time of an empty session for each operator |
| *MACs* | multiply-accumulates times a factor that is fitted to the same ten networks |
| *additive fit* | `hwnas fit`: all prices fitted to the same ten networks |

Every other prediction is compared with networks that were measured in the same interleaved rounds as its own data. The
rounds of *alone* ran up to an hour after the table was made, on a shared machine whose speed changes by some percent.
The noise floor is the median difference between two measurements of one network at one speed of the machine.
"""
_PICTURE = """
![Predicted against measured latency](latency.png)

Predicted against measured latency: each point is a held-out network; the shaded band covers errors of up to 10 %.
"""
_FIT_HEAD = """
## Tables from whole networks alone

Each row shows `hwnas fit` on ten random rows of one device's column of NAS-Bench-201, tested on all other rows with
nothing trimmed; values are means over {draws} draws. The noise floor of a column is the median difference between
isomorphic cells that also name the same operations. The two columns on the right show the Spearman correlation of
simpler fits to the same rows: multiply-accumulates, and plain non-negative least squares (NNLS) on the operations that
the cells name. The published mean of HELP (Lee et al. 2021, arXiv 2106.08630) with ten samples is .932, over six
devices, some of them others, and on trimmed test sets. Measured by `scripts/bench_fit.py`.
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
        parts.append(f"{min(measured):.3g}-{max(measured):.3g} ms; noise floor when the table was made: ")
        parts.append(
            f"{validated['noise_floor']['median']:.2%} (90th percentile {validated['noise_floor']['p90']:.2%})"
        )
        if floor:
            parts.append(f", when its operators were measured alone: {floor['median']:.2%} ({floor['p90']:.2%})")
        parts.append(f". The 90 % intervals contained {validated['interval_coverage']:.0%} of the networks.\n\n")
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
