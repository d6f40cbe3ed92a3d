"""Write docs/int8.md and its picture from what bench_int8.py and bench_quantised.py wrote to docs/results."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from _derived_jobs import METHODS
from _page import save_figure, wrapped
from _quantised_file import FP32, INT8, LATER
from scipy.stats import spearmanr

from latency_tables import write_atomic

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE, PICTURE = DOCS / "int8.md", DOCS / "int8.png"
SEARCHES, QUANTISED = DOCS / "results" / "int8.json", DOCS / "results" / "quantised.json"
COLOURS = {INT8: "#1f6fb4", LATER: "#c0504d", FP32: "#8a94a0"}
SHARES = (0.25, 0.5, 0.75)
"""Where the two fronts of int8 files are compared: shares of the way between fastest and slowest, in log latency."""
Row = dict[str, Any]


def page(searches: Row, quantised: Row) -> str:
    """Write the page.

    Args:
        searches: What `bench_int8.py` wrote.
        quantised: What `bench_quantised.py` wrote.
    """
    settings, seeds = searches["settings"], searches["seeds"]
    seconds = {
        precision: mean(seed["evaluation_s_a_trial"][precision] for seed in seeds.values())
        for precision in ("int8", "fp32")
    }
    lead = [seed["hypervolume"][INT8] - seed["hypervolume"][LATER] for seed in seeds.values()]
    lines = [
        "# int8",
        "",
        *wrapped(
            f"""Written by `scripts/write_int8.py` from `docs/results/{SEARCHES.name}` and
            `docs/results/{QUANTISED.name}`; do not edit by hand."""
        ),
        *wrapped(
            f"""Does quantising a network make it faster, and is it enough to quantise at the end? Networks around a
            trained {settings["base"]} and an inverted-residual network ([the models](compression.md)), CIFAR-10 (JPEG),
            {quantised["cpu"]}, one thread, ONNX Runtime. int8 means static QDQ with ranges from train images, as
            `--precision int8` measures and delivers it; accuracies are of 10,000 test images."""
        ),
        "## Which networks int8 makes faster",
        "",
        *wrapped(told_speed(quantised["networks"])),
        *speed_table(quantised["networks"]),
        "",
        "## Searching with int8 metrics, or quantising at the end",
        "",
        *wrapped(
            f"""`scripts/bench_int8.py` makes two searches around {settings["base"]} for each seed, with
            {settings["samples"]} measured trials each: one with `--precision int8`, one in float32, whose networks are
            quantised at the end. All searches share one set of weights, so seeds differ by the search alone. The
            delivered files of a seed were timed in the same rounds. *Hypervolume* is that of the front (test accuracy
            and log latency, scaled to 0-1); accuracies are those of the shared weights, without fine-tuning. An
            evaluation took {seconds["int8"]:.1f} s in int8 and {seconds["fp32"]:.1f} s in float32."""
        ),
        *search_table(seeds),
        "",
        *wrapped(
            f"""The search with int8 metrics is ahead by {mean(lead):.3f} of hypervolume in the mean
            ({", ".join(f"{each:+.3f}" for each in lead)}). {told_between(seeds)}"""
        ),
        f"![Accuracy over measured latency]({PICTURE.name})",
        "",
    ]
    return "\n".join(lines)


def told_speed(networks: Sequence[Row]) -> str:
    """Write which networks int8 makes faster."""
    slower = [each for each in networks if each["int8"]["ms"] > each["fp32"]["ms"]]
    ratios = [each["int8"]["ms"] / each["fp32"]["ms"] for each in networks]
    cost = [each["fp32"]["test"] - each["int8"]["test"] for each in networks]
    base, pruned, narrow, ours = (
        next(each for each in networks if (each["base"], each["method"], each["share"]) == ("resnet20", *key))
        for key in (("base", None), ("pruned", 0.35), ("narrow", 0.7), ("ours", 0.35))
    )
    return (
        "`scripts/bench_quantised.py` quantised all networks of the comparison and timed them in the same rounds. "
        f"{len(slower)} of these {len(networks)} networks are *slower* in int8, all of them with "
        f"{max(each['macs'] for each in slower) / 1e6:.1f} million MACs or less: the fewer MACs, the less int8 gains "
        f"(Spearman's correlation of MACs with int8 / float32: "
        f"{spearmanr([each['macs'] for each in networks], ratios).statistic:.2f}). Equal MACs do not mean equal gains. "
        f"Narrowed to 70 %, resnet20 has {_size(narrow)} and takes {narrow['int8']['ms']:.3f} ms in int8; the network "
        f"of hwnas for 35 % has {_size(ours)} and takes {ours['int8']['ms']:.3f}. Around resnet20, int8 leaves nothing "
        f"of what pruning saves in float32: at 35 % {pruned['int8']['ms']:.3f} ms against {base['int8']['ms']:.3f} of "
        "the original. Around inverted residuals the methods differ less, and narrowed networks gain most. "
        f"Quantisation changes the accuracy by {100 * -mean(cost):+.2f} points in the mean and costs "
        f"{100 * max(cost):.2f} at most. "
        "*Budget* is the share of the base's latency in float32 that a network was made for; with a budget in int8, "
        "each method would give other networks. Figures are means over the seeds."
    )


def _size(network: Row) -> str:
    return f"{network['macs'] / 1e6:.1f} million MACs in {network['convolutions']} convolutions"


def mean_of(networks: Sequence[Row], base: str, method: str, share: float | None) -> Row:
    """Return mean latency and accuracy of one method's networks, by precision, mean MACs and the number of seeds."""
    group = [each for each in networks if (each["base"], each["method"], each["share"]) == (base, method, share)]
    times = {
        precision: {name: mean(each[precision][name] for each in group) for name in ("ms", "test")}
        for precision in ("fp32", "int8")
    }
    return {**times, "macs": mean(each["macs"] for each in group), "seeds": len(group)}


def speed_table(networks: Sequence[Row]) -> list[str]:
    """Write a row for each base, budget and method."""
    keys = {(each["base"], each["share"], each["method"]) for each in networks}
    order = ["base", *METHODS]
    lines = [
        "| network | budget | seeds | MACs | float32 | int8 | int8 / float32 | accuracy, float32 | accuracy, int8 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for base, share, method in sorted(
        keys, key=lambda key: (key[0] != "resnet20", -(key[1] or 1), order.index(key[2]))
    ):
        told = mean_of(networks, base, method, share)
        fp32, int8 = told["fp32"], told["int8"]
        cells = [
            base if method == "base" else f"{base}: {METHODS[method]}",
            "" if share is None else f"{share:.0%}",
            str(told["seeds"]),
            f"{told['macs'] / 1e6:.1f} M",
            f"{fp32['ms']:.3f} ms",
            f"{int8['ms']:.3f} ms",
            f"{int8['ms'] / fp32['ms']:.2f}",
            f"{fp32['test']:.2%}",
            f"{int8['test']:.2%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def search_table(seeds: Row) -> list[str]:
    """Write the hypervolumes of each seed."""
    lines = [
        "| seed | search with int8 metrics | float32 search, quantised | float32 search, float32 files |",
        "|---|---|---|---|",
    ]
    for seed, result in seeds.items():
        cells = [f"{result['hypervolume'][name]:.3f}" for name in COLOURS]
        lines.append(f"| {seed} | {' | '.join(cells)} |")
    return lines


def told_between(seeds: Row) -> str:
    """Write how accurate the best int8 network within some latencies, and without a limit, is for either search."""
    times = [each["median_ms"] for result in seeds.values() for each in result["networks"][LATER]]
    low, high = min(times), max(times)
    told = []
    for limit in (*(low * (high / low) ** share for share in SHARES), float("inf")):
        best = {
            name: [best_within(result["networks"][name], limit) for result in seeds.values()] for name in (INT8, LATER)
        }
        if not any(None in values for values in best.values()):
            own, other = (mean(value for value in values if value is not None) for values in best.values())
            where = "without a limit" if limit > high else f"within {limit:.3f} ms"
            told.append(f"{where} {own:.2%} against {other:.2%}")
    return f"The most accurate int8 network, mean of the seeds: {', '.join(told)}."


def best_within(networks: Sequence[Row], limit_ms: float) -> float | None:
    """Return the test accuracy of the network within a latency that is best on the validation part; None for none."""
    within = [each for each in networks if each["median_ms"] <= limit_ms]
    return float(max(within, key=lambda each: each["validation"])["test"]) if within else None


def draw(searches: Row, path: Path) -> None:
    """Draw the three fronts of each seed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter, StrMethodFormatter

    seeds = searches["seeds"]
    figure = Figure(figsize=(1.0 + 4.0 * len(seeds), 3.8), dpi=110, layout="constrained")
    panels: Any = figure.subplots(1, len(seeds), squeeze=False, sharey=True)[0]
    for axes, (seed, result) in zip(panels, seeds.items(), strict=True):
        for name, colour in COLOURS.items():
            front = sorted(result["networks"][name], key=lambda each: each["median_ms"])
            x, y = ([each[key] for each in front] for key in ("median_ms", "test"))
            axes.plot(x, y, color=colour, marker="o", markersize=4, linewidth=1.2, label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_title(f"seed {seed}", fontsize=10)
        axes.set_xlabel("measured latency, median of one thread (ms)")
        axes.grid(color="#e6e9ec", linewidth=0.6, which="both")
    panels[0].set_ylabel("test accuracy")
    panels[-1].legend(frameon=False, fontsize=8, loc="lower right")
    save_figure(figure, path)


def read() -> tuple[Row, Row]:
    """Return what both benchmarks wrote."""
    searches, quantised = (json.loads(path.read_text(encoding="utf-8")) for path in (SEARCHES, QUANTISED))
    return searches, quantised


def main() -> int:
    """Write the page and its picture."""
    searches, quantised = read()
    draw(searches, PICTURE)
    write_atomic(PAGE, page(searches, quantised))
    return 0


if __name__ == "__main__":
    sys.exit(main())
