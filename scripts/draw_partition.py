"""Draw the partition that a search on a benchmark table learns, and write its figures into docs/lamoo.md.

    scripts/draw_partition.py --table nasbench201.csv.gz

The search is that of bench_search: accuracies are looked up, latencies have a cost function. The script writes the
picture docs/lamoo-partition.png and the figures docs/results/lamoo-partition.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from _bench_search_problem import Benchmark, load_benchmark
from _page import save_figure, wrapped

from hwnas import HwnasError
from latency_tables import write_atomic
from search import Partition, SearchError, Study, TreeSummary, make_strategy, partition_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "lamoo.md"
PICTURE = ROOT / "docs" / "lamoo-partition.png"
RESULT = ROOT / "docs" / "results" / "lamoo-partition.json"
INITIAL = 10
BEGIN, END = "<!-- written by scripts/draw_partition.py -->", "<!-- end -->"
STYLES = (("#d9741a", "D"), ("#1f5f99", "o"), ("#2f9e6e", "s"), ("#b5548f", "^"), ("#c9a500", "v"), ("#55b4d9", "P"))
REST, GREY = ("#7a828c", "X"), "#c3cad1"


def searched(benchmark: Benchmark, args: argparse.Namespace) -> tuple[list[int], Partition, list[dict[str, Any]]]:
    """Search; return the rows evaluated up to the drawn moment, the partition then, and the history by batch."""
    study = Study(benchmark.problem, make_strategy(args.strategy), seed=args.seed, initial=INITIAL)
    names = [objective.name for objective in benchmark.problem.objectives]
    rows: list[int] = []
    history: list[dict[str, Any]] = []
    drawn: tuple[list[int], Partition] | None = None
    while proposals := study.ask():
        if isinstance(study.report, TreeSummary):
            history.append(moment(study.report, benchmark, rows))
        if len(rows) >= args.samples:
            break
        for proposal in proposals:
            rows.append(benchmark.row(proposal.codes))
            study.tell(proposal.number, dict(zip(names, benchmark.values[rows[-1]].tolist(), strict=True)))
        if drawn is None and len(rows) >= args.at:
            partition = partition_of(study)
            if partition is None:
                raise HwnasError(f"strategy {args.strategy!r} has no partition; choose lamoo or a variant lamoo-...")
            drawn = list(rows), partition
    if drawn is None:
        raise HwnasError(f"--at must be at most the {len(rows)} cells of {args.table}")
    return *drawn, history


def figures(
    benchmark: Benchmark, args: argparse.Namespace, rows: list[int], partition: Partition, history: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the figures of the page as JSON-able data."""
    settings = {
        "table": args.table.name,
        "maximize": args.maximize,
        "minimize": args.minimize,
        "strategy": args.strategy,
        "seed": args.seed,
        "initial": INITIAL,
        "candidates": len(candidates(benchmark)),
        "maximum": benchmark.maximum,
    }
    summary = partition.summary
    nodes = [asdict(node) for node in summary.nodes]
    drawn = {"trials": len(rows), "missing": benchmark.gap(rows), "leaf": summary.leaf, "nodes": nodes}
    return {"settings": settings, "drawn": drawn, "history": history}


def candidates(benchmark: Benchmark) -> np.ndarray:
    """Return the rows of the table that a search may evaluate."""
    return np.unique(benchmark.rows[benchmark.rows >= 0])


def moment(report: TreeSummary, benchmark: Benchmark, rows: list[int]) -> dict[str, Any]:
    """Return the state before a batch: the size of the tree, and of the sampled region."""
    parents = {node.parent for node in report.nodes}
    sampled = next(node for node in report.nodes if node.identity == report.sampled)
    return {
        "trials": len(rows),
        "leaves": sum(node.identity not in parents for node in report.nodes),
        "share": sampled.acceptance,
        "missing": benchmark.gap(rows),
    }


def passage(result: dict[str, Any]) -> str:
    """Write the text about the picture, and the tree as a table."""
    settings, drawn, history = result["settings"], result["drawn"], result["history"]
    nodes = {node["identity"]: node for node in drawn["nodes"]}
    root, leaf = nodes[0], nodes[drawn["leaf"]]
    after = next(row for row in history if row["trials"] == drawn["trials"])
    first = next((row for row in history if row["leaves"] > 1), after)
    lines = wrapped(
        f"""*A real partition: strategy `{settings["strategy"]}`, seed {settings["seed"]}, after {drawn["trials"]} of
        {settings["candidates"]} cells of NAS-Bench-201 were evaluated ({settings["initial"]} of them at random), to
        maximise `{settings["maximize"]}` and minimise `{settings["minimize"]}`. Left: all cells in light grey, the
        evaluated ones by the leaf that they lie in; the best are up and to the left. Right: the tree, good sides on
        top, the selected path in bold. Below: the selected region, and what is still missing, over the whole
        search.*"""
    )
    share, end = leaf["hypervolume"] / root["hypervolume"], history[-1]
    lines += wrapped(
        f"""The first split came after {first["trials"]} samples and left {first["share"]:.0%} of the untried cells in
        the selected region. At the moment of the picture the tree has {after["leaves"]} leaves. Its selected leaf is
        node {leaf["identity"]}: {leaf["size"]} of the {root["size"]} samples, {share:.1%} of their hypervolume, and
        {leaf["acceptance"]:.2%} of the untried cells. The samples so far miss {drawn["missing"]:.2%} of the
        hypervolume that all cells together have; when the first split was made it was {first["missing"]:.2%}, and
        after {end["trials"]} samples it is {end["missing"]:.2%}, with a region of {end["share"]:.2%}."""
    )
    lines += ["| node | is | samples | hypervolume | UCB | its split is right for | untried cells inside |"]
    lines += ["|---|---|---|---|---|---|---|", *(node_row(node) for node in nodes.values())]
    return "\n".join(lines)


def node_row(node: dict[str, Any]) -> str:
    """Format one node of the tree as a row of the table."""
    side = f"{'good' if node['side'] else 'bad'} side of {node['parent']}"
    cells = [
        f"**{node['identity']}**" if node["selected"] else str(node["identity"]),
        "the whole space" if node["parent"] is None else side,
        str(node["size"]),
        f"{node['hypervolume']:.3f}",
        "-" if node["parent"] is None else f"{node['ucb']:.3f}",
        "-" if node["svm_accuracy"] is None else f"{node['svm_accuracy']:.0%}",
        "-" if node["acceptance"] is None else f"{node['acceptance']:.2%}",
    ]
    return f"| {' | '.join(cells)} |"


def with_passage(page: str, text: str) -> str:
    """Replace the passage between the two comments of the page."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def draw(benchmark: Benchmark, rows: list[int], partition: Partition, result: dict[str, Any]) -> None:
    """Write the picture."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    leaves = sorted(set(partition.leaves.tolist()))
    nodes = {node["identity"]: node for node in result["drawn"]["nodes"]}
    chosen = result["drawn"]["leaf"]
    ranked = sorted(leaves, key=lambda leaf: (leaf != chosen, -nodes[leaf]["hypervolume"]))
    styles = {leaf: STYLES[k] if k < len(STYLES) else REST for k, leaf in enumerate(ranked)}
    with mpl.rc_context({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 8.6), dpi=110, layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=(1.7, 1), width_ratios=(1, 1.15))
        draw_samples(figure.add_subplot(grid[0, 0]), benchmark, rows, partition, styles)
        draw_tree(figure.add_subplot(grid[0, 1]), nodes, styles)
        draw_history(figure.add_subplot(grid[1, :]), result)
        save_figure(figure, PICTURE)


def draw_samples(
    axes: Any, benchmark: Benchmark, rows: list[int], partition: Partition, styles: dict[int, tuple[str, str]]
) -> None:
    """Draw all candidates and the evaluated ones in objective space, by leaf."""
    every = benchmark.values[candidates(benchmark)]
    axes.scatter(every[:, 1], every[:, 0], s=3, color="#dfe3e7", linewidths=0, rasterized=True)
    points = benchmark.values[rows]
    for leaf, (colour, marker) in sorted(styles.items(), reverse=True):
        inside = partition.leaves == leaf
        axes.scatter(
            points[inside, 1], points[inside, 0], s=42, color=colour, marker=marker, edgecolors="white", lw=0.6
        )
    low = np.quantile(every[:, 0], 0.08)
    axes.set_ylim(low, every[:, 0].max() + 0.03 * (every[:, 0].max() - low))
    below = int((points[:, 0] < low).sum())
    axes.set_xlabel("latency (ms)")
    axes.set_ylabel("accuracy (%)")
    axes.set_title("Samples, by leaf" + (f" ({below} lie below)" if below else ""), fontsize=11)


def draw_tree(axes: Any, nodes: dict[int, dict[str, Any]], styles: dict[int, tuple[str, str]]) -> None:
    """Draw the tree from left (root) to right, good children on top."""
    places, next_leaf = {}, 0.0
    for identity in sorted(nodes, reverse=True):  # children come after their parent
        below = [places[i][1] for i, node in nodes.items() if node["parent"] == identity]
        next_leaf += 0 if below else 1
        places[identity] = (nodes[identity]["depth"], float(np.mean(below)) if below else next_leaf)
    for identity, node in nodes.items():
        x, y = places[identity]
        if node["parent"] is not None:
            from_x, from_y = places[node["parent"]]
            bold = node["selected"]
            axes.plot([from_x, x], [from_y, y], color="#333c46" if bold else GREY, lw=2.6 if bold else 1.2, zorder=1)
        colour = styles[identity][0] if identity in styles else "#5b6570"
        text = f"{identity}: {node['size']} samples\nHV {node['hypervolume']:.3f}"
        if node["acceptance"] is not None and node["parent"] is not None:
            text += f"\n{node['acceptance']:.1%} of space"
        box = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": colour, "lw": 2.4 if node["selected"] else 1.4}
        axes.text(x, y, text, ha="center", va="center", fontsize=9, bbox=box, zorder=2)
        if identity in styles:
            axes.plot([x + 0.55], [y], styles[identity][1], color=colour, ms=7, mec="white", clip_on=False)
    depth = max(node["depth"] for node in nodes.values())
    axes.set_xlim(-0.45, depth + 0.62)
    axes.set_ylim(0.4, next_leaf + 0.6)
    axes.set_axis_off()
    axes.set_title("The tree: good sides on top, selected path in bold", fontsize=11)


def draw_history(axes: Any, result: dict[str, Any]) -> None:
    """Draw the size of the selected region and the missing hypervolume, by batch."""
    trials = [row["trials"] for row in result["history"]]
    axes.plot(
        trials, [row["share"] for row in result["history"]], "o-", color=STYLES[0][0], ms=4, drawstyle="steps-post"
    )
    axes.plot(trials, [row["missing"] for row in result["history"]], "s-", color=STYLES[1][0], ms=4)
    axes.axvline(result["drawn"]["trials"], color="#333c46", ls=":", lw=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_xlabel("evaluated cells")
    axes.legend(
        ["untried cells inside the selected region", "hypervolume still missing", "the moment above"], frameon=False
    )
    axes.grid(color="#e6e9ec", lw=0.6)


def main(arguments: list[str] | None = None) -> int:
    """Search, draw the partition and update the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV (or .csv.gz) with a column arch")
    parser.add_argument("--maximize", default="cifar10_test_acc", help="column of accuracies in percent")
    parser.add_argument("--minimize", default="2080ti_1_latency_ms", help="column of latencies in ms")
    parser.add_argument("--strategy", default="lamoo", help="lamoo (default) or a variant lamoo-...")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=100, help="number of cells to evaluate (default 100)")
    parser.add_argument("--at", type=int, default=60, help="number of evaluated cells at the drawn moment (default 60)")
    args = parser.parse_args(arguments)
    if not INITIAL <= args.at < args.samples:
        parser.error(f"--at must be {INITIAL} or more and less than --samples")
    try:
        benchmark = load_benchmark(args.table, [args.maximize], [args.minimize])
        rows, partition, history = searched(benchmark, args)
    except (HwnasError, SearchError) as error:
        print(f"draw_partition: {error}", file=sys.stderr)
        return 2
    result = figures(benchmark, args, rows, partition, history)
    draw(benchmark, rows, partition, result)
    write_atomic(RESULT, json.dumps(result, indent=1) + "\n")
    write_atomic(PAGE, with_passage(PAGE.read_text(encoding="utf-8"), passage(result)))
    print(f"wrote {PICTURE}, {RESULT} and the passage in {PAGE}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
