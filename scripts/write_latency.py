"""Writes docs/latency.md and its picture from results of bench_latency and bench_fit.

scripts/write_latency.py       # from docs/results/latency.json and docs/results/fit.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ROOT = Path(__file__).resolve().parent.parent
LATENCY = ROOT / "docs" / "results" / "latency.json"
FIT = ROOT / "docs" / "results" / "fit.json"
PAGE = ROOT / "docs" / "latency.md"
PICTURE = ROOT / "docs" / "latency.png"
_HEAD = """# How well tables predict whole networks

Written by `scripts/write_latency.py` from results of `scripts/bench_latency.py`. [measuring.md](measuring.md) says what
the words mean.

## Networks that a table has not been fitted to

Each table's held-out random networks and every one of its operators, alone, were measured in the same interleaved
rounds, some time after the table was made. *Alone* sums operators that were measured in sessions of their own, *alone
minus dispatch* takes the cost of an empty session off each; *MACs* has a factor, *additive fit* all of its prices
fitted to the ten networks that calibrate the table (*ours, calibrated*). The noise floor is the median difference
between two measurements of one network in the same rounds.
"""
_PICTURE = """
![Predicted against measured latency](latency.png)

Predicted against measured: each point is a held-out network; the shaded band is 10 % to both sides.
"""
_FIT_HEAD = """
## Tables from whole networks alone

`hwnas fit` on ten random rows of a device's column of NAS-Bench-201, all other rows as test, nothing trimmed; means
over {draws} draws. The noise floor of a column is the median difference between isomorphic cells, whose latencies
should be equal. Measured by `scripts/bench_fit.py`.
"""


def page(latency: dict[str, Any], fit: dict[str, Any] | None) -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, result in latency.items():
        validated = result["table_validation"]
        floor = result["noise_floor"]
        parts.append(f"\n### {title(name, result)}\n\n{result['networks']} networks of ")
        parts.append(f"{min(result['measured_ms']):.3g}-{max(result['measured_ms']):.3g} ms; ")
        parts.append(f"noise floor {floor['median']:.2%} (90th percentile {floor['p90']:.2%}).")
        own = validated["unfitted"]
        parts.append(
            f" When the table was made: MAPE {own['mape']:.2%} with nothing fitted, "
            f"{validated['calibrated']['mape']:.2%} calibrated, noise floor {validated['noise_floor']['median']:.2%}, "
            f"90 % intervals held {validated['interval_coverage']:.0%}.\n\n"
        )
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


def title(name: str, result: dict[str, Any]) -> str:
    """What a table is of, in words."""
    settings, identity = result["space"]["settings"], result["identity"]
    sizes = settings.get("resolution") or [settings["image_size"]]
    pixels = ", ".join(map(str, sizes))
    preset = f" {settings['preset']}" if "preset" in settings else ""
    threads = identity.get("threads", 1)
    dtype = "" if identity["dtype"] == "float32" else f", {identity['dtype']}"
    return f"{result['space']['name']}{preset}, {pixels} pixels, {threads} thread{'s' if threads != 1 else ''}{dtype}"


def fit_section(fit: dict[str, Any]) -> str:
    """The table of `hwnas fit`."""
    lines = [_FIT_HEAD.format(**fit["settings"])]
    lines.append("\n| column | Spearman | MAPE | within 5 % | within 10 % | noise floor |\n|---|---|---|---|---|---|\n")
    for name, row in [*fit["columns"].items(), ("mean", fit["mean"])]:
        lines.append(
            f"| {name} | {row['spearman']:.3f} | {row['mape']:.1%} | {row['within_5']:.0%} "
            f"| {row['within_10']:.0%} | {row['noise_floor']['median']:.1%} |\n"
        )
    return "".join(lines)


def draw(latency: dict[str, Any], path: Path) -> None:
    """One panel a table: ours with nothing fitted against operators measured alone."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    columns = 3
    rows = -(-len(latency) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(4 * columns, 3.9 * rows), squeeze=False)
    for panel in panels.flat[len(latency) :]:
        panel.set_visible(False)
    for panel, (name, result) in zip(panels.flat, latency.items(), strict=False):
        measured = result["measured_ms"]
        ends = [0.9 * min(measured), 1.1 * max(measured)]
        panel.fill_between(ends, [0.9 * e for e in ends], [1.1 * e for e in ends], color="0.9", lw=0)
        panel.plot(ends, ends, color="0.6", lw=1)
        for kind, colour in (("alone", "#c44e52"), ("ours, nothing fitted", "#4c72b0")):
            panel.plot(measured, result["predictions"][kind]["predicted_ms"], ".", color=colour, label=kind, ms=5)
        panel.set(xscale="log", yscale="log", xlabel="measured (ms)", ylabel="predicted (ms)")
        panel.set_title(title(name, result), fontsize=9)
        panel.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    latency = json.loads(LATENCY.read_text(encoding="utf-8"))
    fit = json.loads(FIT.read_text(encoding="utf-8")) if FIT.exists() else None
    PAGE.write_text(page(latency, fit), encoding="utf-8")
    draw(latency, PICTURE)
    print(PAGE)


if __name__ == "__main__":
    main()
