"""LaMOO's partition of the space: its tree as a picture and as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hwnas._common._canvas import GREY, ORANGE, add_legend, make_figure, plain_ticks, png
from hwnas._common._text import printable
from hwnas._costs._cost import axis_label
from hwnas._report._plots import best_corner
from hwnas.tasks import Metric
from search import NodeSummary, Partition, Problem, Trial

_LABELLED = 40


def partition_plot(partition: Partition, problem: Problem, trials: Sequence[Trial], metric: Metric) -> bytes:
    """Return the tree, and beside it the trials in the colour of their leaf's hypervolume."""
    figure, (left, right) = make_figure(2)
    nodes = partition.summary.nodes
    places = _places(nodes)
    values = {node.identity: node.hypervolume for node in nodes}
    top = max(values.values()) or 1.0
    by_number = {node.identity: node for node in nodes}
    for node in nodes:
        if node.parent is not None:
            both = node.selected and by_number[node.parent].selected
            xs, ys = zip(places[node.parent], places[node.identity], strict=True)
            left.plot(xs, ys, color=ORANGE if both else GREY, linewidth=2.0 if both else 0.8, zorder=1)
    x, y = np.array([places[node.identity] for node in nodes]).T
    colours = [values[node.identity] for node in nodes]
    sizes = [20 + 6 * node.size**0.8 for node in nodes]
    drawn = left.scatter(x, y, s=sizes, c=colours, vmin=0.0, vmax=top, edgecolors="white", zorder=2)
    if len(nodes) <= _LABELLED:
        for node in nodes:
            left.annotate(
                str(node.size), places[node.identity], (0, 9), textcoords="offset points", ha="center", fontsize=6
            )
    left.set_axis_off()
    left.set_title("Tree of regions: size is trials, good side left")
    cost = problem.objectives[1].name
    by_trial = {trial.number: trial for trial in trials}
    points = np.array(
        [[by_trial[n].values[cost], metric.scale * by_trial[n].values[metric.name]] for n in partition.trials.tolist()]
    )
    chosen = partition.leaves == partition.summary.leaf
    leaf_values = np.array([values[leaf] for leaf in partition.leaves.tolist()])
    right.scatter(*points.T, s=16, c=leaf_values, vmin=0.0, vmax=top)
    selected = right.scatter(*points[chosen].T, s=44, facecolors="none", edgecolors=ORANGE, linewidths=1.2)
    right.set_xscale("log")
    plain_ticks(right.xaxis)
    right.set_xlabel(axis_label(cost))
    right.set_ylabel(printable(metric.label))
    right.set_title("Trials, by region")
    add_legend(right, [(selected, "selected region")], frameon=False, fontsize=8, loc=best_corner(metric))
    figure.colorbar(drawn, ax=right, label="hypervolume of the region's trials")
    return png(figure)


def partition_rows(partition: Partition) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a table: the selected path and the regions beside it."""
    nodes = partition.summary.nodes
    on_path = {node.identity for node in nodes if node.selected}
    rows = []
    for node in nodes:
        if node.parent is None or node.parent in on_path:
            name = "whole space" if node.parent is None else f"{'good' if node.side else 'bad'} side of {node.parent}"
            rows.append(
                [
                    f"{node.identity}{' (selected)' if node.selected else ''}",
                    name,
                    str(node.depth),
                    str(node.size),
                    f"{node.hypervolume:.4f}",
                    f"{node.ucb:.4f}",
                    "-" if node.svm_accuracy is None else f"{node.svm_accuracy:.0%}",
                    "-" if node.acceptance is None else f"{node.acceptance:.2%}",
                ]
            )
    return ["region", "position", "depth", "trials", "hypervolume", "UCB", "SVM accuracy", "share of the space"], rows


def _places(nodes: Sequence[NodeSummary]) -> dict[int, tuple[float, float]]:
    """Place each node: leaves side by side, parents above the middle of their children."""
    children: dict[int, list[int]] = {node.identity: [] for node in nodes}
    for node in nodes:
        if node.parent is not None:
            children[node.parent].append(node.identity)
    places: dict[int, tuple[float, float]] = {}
    leaves = 0
    for node in reversed(nodes):  # children come after their parent
        below: list[Any] = [places[child][0] for child in children[node.identity]]
        if not below:
            leaves -= 1
        places[node.identity] = (float(np.mean(below)) if below else float(leaves), -float(node.depth))
    return places
