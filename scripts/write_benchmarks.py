"""Write docs/benchmarks.md and its pictures from the results of the benchmark scripts.

scripts/write_benchmarks.py --table FILE RUN.json [RUN.json ...]   # condense bench_search's runs first
scripts/write_benchmarks.py                                        # write the page from docs/results
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _benchmark_numbers import FIRST, TARGET, compared, condense, counts, gap_at_end, geometric, is_bound, strategies_of
from _page import save_figure, wrapped

from latency_tables import write_atomic

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks-search.png"
PAPER_PICTURE = ROOT / "docs" / "benchmarks-published.png"
SHOWN = ("lamoo", "qehvi", "lamoo-mutation", "mutation", "nsga2", "tpe", "random")
STEPS = ("qlognehvi", "qlognehvi-known", "qehvi-learned", "qehvi", "lamoo")
PARTITIONED = (
    ("random", "lamoo-random"),
    ("mutation", "lamoo-mutation"),
    ("cmaes", "lamoo-cmaes"),
    ("qehvi-hamming", "lamoo-hamming"),
    ("qehvi", "lamoo-qehvi"),
    ("qehvi", "lamoo"),
)

_BOUNDS = """A >= marks strategies whose runs were stopped early: their counts are lower bounds, and their final
gaps are not known."""


def search_section(pairs: dict[str, Any]) -> list[str]:
    """Write the comparison of all strategies."""
    bounds = _BOUNDS if any(is_bound(row) for pair in pairs.values() for row in pair["rows"].values()) else ""
    lines = [
        "## Search",
        "",
        *wrapped(
            """NAS-Bench-201: maximise the test accuracy after 200 epochs, minimise the latency measured on a device
            (which is known before the evaluation). Each run has 200 evaluations: 10 initial samples, the same for
            every strategy with one seed, then batches of 5. Cells without a path from input to output are left out
            (341 rows), and isomorphic cells count once. Objectives are scaled to 0-1 over the remaining cells. The
            maximal hypervolume is that of the true front of these cells."""
        ),
        *wrapped(
            f"""*To 99 %* is the number of evaluations until only 1 % of the maximal hypervolume is missing (geometric
            mean over pairs and seeds); a run that never gets there counts with all its evaluations. *Ratio* is this
            number divided by the default strategy's on the same pairs and seeds. *Won / lost* is the number of pairs
            on which the default needs significantly fewer / more evaluations (Wilcoxon signed-rank test over the
            seeds, p < .05). *Reached* is the share of runs that reach 99 %. *Missing at the end* is the share of the
            maximal hypervolume that is missing after 200 evaluations. {bounds}"""
        ),
        "| strategy | to 99 % | ratio | won / lost | reached | missing at the end | pairs | runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in strategies_of(pairs):
        rows = [pair["rows"][name] for pair in pairs.values() if name in pair["rows"]]
        ratio, won, lost, number, runs = compared(pairs, FIRST, name)
        sign = ">= " if any(is_bound(row) for row in rows) else ""
        to_99 = geometric([geometric(list(counts(row).values())) for row in rows])
        share = np.mean([np.mean([v is not None for v in row["evaluations_to_99"].values()]) for row in rows])
        gap = gap_at_end(pairs, name)
        cells = [
            f"`{name}`",
            f"{sign}{to_99:.0f}",
            f"{sign}{ratio:.2f}",
            "-" if name == FIRST else f"{won} / {lost}",
            f"{share:.0%}",
            "-" if gap is None else f"{gap:.5f}",
            str(number),
            str(runs),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "Evaluations to 99 % for each pair of objectives:",
        "",
        "| pair | " + " | ".join(f"`{name}`" for name in SHOWN) + " |",
        "|---|" + "---|" * len(SHOWN),
    ]
    for title, pair in sorted(pairs.items()):
        shown = [pair["rows"].get(name) for name in SHOWN]
        cells = [f"{geometric(list(counts(row).values())):.0f}" if row else "-" for row in shown]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return [*lines, "", f"![Missing hypervolume over evaluations]({PICTURE.name})", ""]


def parts_section(pairs: dict[str, Any]) -> list[str]:
    """Write what the model, the exact costs and the partition contribute."""
    meanings = {
        "qlognehvi": "BoTorch's categorical GP, both objectives learned",
        "qlognehvi-known": "the same model, latency exact",
        "qehvi-learned": "the default's model, both objectives learned",
        "qehvi": "the default's model, latency exact",
        "lamoo": "the same model and exact latency, inside the partition",
    }
    header = "| strategy | how it works | ratio to the default |"
    lines = ["### What each part contributes", "", header, "|---|---|---|"]
    for name in STEPS:
        rows = [pair["rows"][name] for pair in pairs.values() if name in pair["rows"]]
        if rows:
            sign = ">= " if any(is_bound(row) for row in rows) else ""
            lines.append(f"| `{name}` | {meanings[name]} | {sign}{compared(pairs, FIRST, name)[0]:.2f} |")
    lines += [
        "",
        *wrapped(
            """The effect of the partition itself: a sampler alone, compared with the same sampler inside the partition.
            A *ratio* above 1 means that the sampler needs fewer evaluations to 99 % with the partition. *Won / lost*
            and *missing* have the same meaning as above."""
        ),
        "| alone | with the partition | ratio | won / lost | missing alone | missing with it |",
        "|---|---|---|---|---|---|",
    ]
    for alone, inside in PARTITIONED:
        if all(any(name in pair["rows"] for pair in pairs.values()) for name in (alone, inside)):
            ratio, won, lost, _, _ = compared(pairs, inside, alone)
            gaps = [gap_at_end(pairs, name) for name in (alone, inside)]
            cells = ["-" if gap is None else f"{gap:.5f}" for gap in gaps]
            lines.append(f"| `{alone}` | `{inside}` | {ratio:.2f} | {won} / {lost} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        *wrapped(
            """With a model as good as the default's and all candidates enumerated, the tree adds nothing: `lamoo` and
            `qehvi` are equal within noise. We keep the tree because it costs little and models can be wrong. Without
            the partition, a sampler without a model needs up to 1.4 times as many evaluations. (Mutation gains
            least, because it moves to good regions by itself. Inside the partition it ends with more missing,
            because its last steps would leave the region.) Without the partition, a weak model (`hamming`: one scale
            for all choices) ends with twice as much missing. In the space too large to enumerate (below), the tree
            is slightly better at every budget. If every proposal comes from the region (`lamoo-qehvi`), some of the
            last tenth of a percent remains missing, so two of the default's five proposals come from the whole
            space."""
        ),
    ]


def cheap_section(pairs: dict[str, Any]) -> list[str]:
    """Write the comparison with low-fidelity evaluations."""
    names = (FIRST, "lamoo-cheap", "lamoo-low-fidelity")
    lines = [
        "### Low-fidelity evaluations",
        "",
        *wrapped(
            """`hwnas search --low-fidelity` names a cheaper evaluation, here the validation accuracy after 12 epochs at
            .06 of the cost of a full evaluation. The search (`lamoo-low-fidelity`) begins with two full evaluations
            and a random design of 30 at low fidelity, and then evaluates two candidates at low fidelity for every full
            one; its model learns from both. `lamoo-cheap` does the same after ten full evaluations and without the
            design, as earlier versions did. *Cost* counts everything, in full evaluations. The sizes were chosen on
            these pairs."""
        ),
        "| pair | full evaluations to 99 %: "
        + " | ".join(f"`{name}`" for name in names)
        + " | cost to 99 %: "
        + " | ".join(f"`{name}`" for name in names)
        + " |",
        "|---|" + "---|" * (2 * len(names)),
    ]
    for title, pair in sorted(pairs.items()):
        rows = [pair["rows"][name] for name in names]
        lines.append(_costs_line(title, [counts(row) for row in rows], [row["cost_to_99"] for row in rows]))
    means = [
        {title: geometric(list(values(pair["rows"][name]).values())) for title, pair in pairs.items()}
        for values in (counts, lambda row: row["cost_to_99"])
        for name in names
    ]
    lines.append(_costs_line("all", means[: len(names)], means[len(names) :]))
    return [*lines, ""]


def _costs_line(title: str, full: list[dict[str, float]], cost: list[dict[str, float]]) -> str:
    """Write geometric means of counts and costs."""
    cells = [f"{geometric(list(values.values())):.1f}" for values in (*full, *cost)]
    return f"| {title} | " + " | ".join(cells) + " |"


def paper_section(pairs: dict[str, Any]) -> list[str]:
    """Write the comparison in the setting of the ICLR paper."""
    ((title, pair),) = pairs.items()
    marks = (50, 100, 150, 200)
    lines = [
        "### The published setting",
        "",
        *wrapped(
            f"""{title}, the setting of the ICLR 2022 paper: every row of the benchmark is a candidate, including
            disconnected and isomorphic cells, and MACs are the benchmark's own. The paper shifts both objectives down
            by two standard deviations and uses the reference point (-3, -6), which is (-1, -4) without the shift.
            {". ".join(note.capitalize() for note in pair["notes"])}, as published. `lamoo-faithful` has the published
            settings (polynomial SVM, splits from 10 samples, leaf selection, Cp a tenth of the hypervolume),
            implemented correctly. The table shows the share of the maximum that is missing after 50 to 200
            evaluations, as the mean over the seeds:"""
        ),
        "| strategy | " + " | ".join(map(str, marks)) + " |",
        "|---|" + "---|" * len(marks),
    ]
    for name, row in sorted(pair["rows"].items(), key=lambda item: item[1]["mean_gap"][-1]):
        lines.append(f"| `{name}` | " + " | ".join(f"{row['mean_gap'][k - 1]:.4f}" for k in marks) + " |")
    return [*lines, "", f"![Missing hypervolume in the published setting]({PAPER_PICTURE.name})", ""]


def large_section(record: dict[str, Any]) -> list[str]:
    """Write the results on the space that cannot be enumerated."""
    names = list(next(iter(record["results"].values())))
    lines = [
        "### A space too large to enumerate",
        "",
        *wrapped(
            f"""`scripts/bench_search_large.py`: {float(record["networks"]):.1e} networks of `mobilenetv3`, latencies
            from the measured table `{record["table"]}` (as of {record["table_created"]}), a synthetic smooth accuracy
            whose true front is known, and a latency budget at three percentiles of random networks. The table shows
            the share of the true hypervolume that is missing after {record["samples"]} evaluations, as the mean over
            {record["seeds"]} seeds. No strategy ever evaluated a network above the budget."""
        ),
        "| budget | " + " | ".join(f"`{name}`" for name in names) + " |",
        "|---|" + "---|" * len(names),
    ]
    last = str(record["samples"])
    for percentile, rows in record["results"].items():
        cells = [f"{rows[name]['missing'][last]:.4f}" for name in names]
        lines.append(f"| {record['budgets_ms'][percentile]:.2f} ms ({percentile} %) | " + " | ".join(cells) + " |")
    return [*lines, ""]


def models_section(record: dict[str, Any]) -> list[str]:
    """Write the results of accuracy models on held-out cells."""
    lines = [
        "### Accuracy models",
        "",
        *wrapped(
            f"""`scripts/bench_models.py`: models are fitted to random cells and tested on all others. Each entry shows
            Kendall's tau over all test cells / over only the best tenth / the share of cells inside the 90 % interval,
            as means over {record["draws"]} draws. The default uses the first model."""
        ),
    ]
    for column, models in record["columns"].items():
        lines += [
            f"| {column}, cells fitted to | " + " | ".join(map(str, record["sizes"])) + " |",
            "|---|" + "---|" * len(record["sizes"]),
        ]
        for name, row in models.items():
            triples = zip(row["tau"], row["tau_best_tenth"], row["inside_90"], strict=True)
            lines.append(f"| {name} | " + " | ".join(f"{a:.2f} / {b:.2f} / {c:.2f}" for a, b, c in triples) + " |")
        lines.append("")
    return lines


def overhead_section(record: list[dict[str, Any]]) -> list[str]:
    """Write seconds and memory of the strategies."""
    lines = [
        "### Overhead",
        "",
        *wrapped(
            """`scripts/bench_search_overhead.py`: seconds that a strategy takes per proposed architecture on
            `mobilenetv3`, on one thread, after the given number of trials, and the peak memory of the process."""
        ),
        "| strategy | objectives | trials | seconds per proposal | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for row in record:
        cells = [
            row["strategy"],
            row["objectives"],
            row["trials"],
            f"{row['s_per_proposal']:.3f}",
            f"{row['peak_mib']:.0f}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def draw(results: dict[str, Any]) -> None:
    """Draw the mean gap over evaluations, one panel for each pair."""
    from matplotlib.figure import Figure

    pairs = results["pairs"]
    figure = Figure(figsize=(11, 2.6 * ((len(pairs) + 1) // 2)), dpi=110, layout="constrained")
    panels = figure.subplots((len(pairs) + 1) // 2, 2, sharex=True, squeeze=False)
    for axes, (title, pair) in zip(panels.flat, sorted(pairs.items()), strict=False):
        for name in SHOWN:
            if "mean_gap" in pair["rows"].get(name, {}):
                curve = np.maximum(pair["rows"][name]["mean_gap"], 1e-5)
                axes.plot(np.arange(1, len(curve) + 1), curve, label=name, linewidth=2.0 if name == FIRST else 1.1)
        axes.set_yscale("log")
        axes.set_title(title, fontsize=9)
        axes.grid(color="#e6e9ec", linewidth=0.6)
        axes.axhline(TARGET, color="black", linewidth=0.7, linestyle=":")
    for axes in panels[-1]:
        axes.set_xlabel("evaluated architectures")
    for axes in panels[:, 0]:
        axes.set_ylabel("missing hypervolume")
    panels[0][0].legend(fontsize=7, ncols=2, frameon=False)
    save_figure(figure, PICTURE)


def draw_paper(pairs: dict[str, Any]) -> None:
    """Draw the mean missing hypervolume in the published setting, in the paper's units, on a logarithmic scale."""
    from matplotlib.figure import Figure

    (pair,) = pairs.values()
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    for name, row in sorted(pair["rows"].items(), key=lambda item: item[1]["mean_gap"][-1]):
        curve = pair["maximum"] * np.maximum(row["mean_gap"], 1e-5)
        axes.plot(np.arange(1, len(curve) + 1), curve, label=name, linewidth=2.0 if name == "lamoo-faithful" else 1.1)
    axes.set_yscale("log")
    axes.grid(color="#e6e9ec", linewidth=0.6)
    axes.set_xlabel("evaluated architectures")
    axes.set_ylabel(f"hypervolume missing of {pair['maximum']:.4f}")
    axes.legend(fontsize=8, ncols=2, frameon=False)
    save_figure(figure, PAPER_PICTURE)


def load(name: str) -> Any:
    """Read a file of results; None where it is absent."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def page() -> str:
    """Write the page as Markdown."""
    search = load("search")
    lines = [
        "# Benchmarks",
        "",
        "Written by `scripts/write_benchmarks.py` from `docs/results`; do not edit by hand.",
        "",
    ]
    lines += [*search_section(search["pairs"]), *parts_section(search["pairs"])]
    lines += cheap_section(search["cheap"]) if search["cheap"] else []
    lines += paper_section(search["paper"]) if search["paper"] else []
    for name, section in (("large", large_section), ("models", models_section), ("overhead", overhead_section)):
        record = load(name)
        lines += section(record) if record else []
    return "\n".join(lines)


def main() -> int:
    """Condense runs, if any are given, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--table", type=Path, help="benchmark table of the runs")
    parser.add_argument("files", type=Path, nargs="*", help="files that bench_search wrote with --json")
    args = parser.parse_args()
    if args.files:
        if args.table is None:
            parser.error("--table is needed to condense runs")
        RESULTS.mkdir(exist_ok=True)
        write_atomic(RESULTS / "search.json", json.dumps(condense(args.table, args.files)) + "\n")
    results = load("search")
    draw(results)
    if results["paper"]:
        draw_paper(results["paper"])
    write_atomic(PAGE, page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
