"""How the distribution of a one-shot method developed: a picture, and the probabilities at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwnas._common._canvas import BLUE, GREY, ORANGE, make_figure, png
from hwnas._common._text import printable
from hwnas._costs._cost import LATENCY, axis_label, cost_of_key
from hwnas._report._html import escape, image
from hwnas.oneshot import EpochRecord, TrainingRecord

_SMALL = 0.005
"""Probabilities below are summed up."""


def distribution_plot(record: TrainingRecord) -> bytes:
    """Plot the expected cost and the entropy over the epochs, and between them each choice's greatest probability."""
    figure, (left, right) = make_figure(2)
    epochs = np.arange(1, len(record.epochs) + 1)
    if record.cost is not None:
        left.plot(epochs, [epoch.expected for epoch in record.epochs], color=BLUE, marker="o", markersize=3)
        if record.is_budget and record.reference is not None:
            left.axhline(record.reference, color="black", linestyle="--", linewidth=1, label="budget")
            left.legend(frameon=False, fontsize=8, loc="lower right")
        left.set_ylim(0, 1.08 * max(left.get_ylim()[1], record.reference or 0.0))
        left.set_ylabel(printable(f"expected {axis_label(record.cost)}"))
    left.set_title("Expected cost of a drawn network")
    for column, values in enumerate(record.values):
        if len(values) > 1:
            most = [100 * max(epoch.probabilities[column]) for epoch in record.epochs]
            right.plot(epochs, most, color=GREY, linewidth=0.8, zorder=1)
    (line,) = right.plot(
        epochs, [100 * epoch.entropy for epoch in record.epochs], color=ORANGE, marker="o", markersize=3, zorder=2
    )
    grey = right.plot([], [], color=GREY, linewidth=0.8)[0]
    right.legend([line, grey], ["entropy", "each choice's greatest probability"], frameon=False, fontsize=8)
    right.set_ylim(0, 103)
    right.set_ylabel("%")
    right.set_title("How decided the distribution is")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
    return png(figure)


def distribution_section(record: TrainingRecord | None, pictures: dict[str, bytes]) -> str:
    """Return the section; nothing without a one-shot training."""
    if record is None:
        return ""
    parts = [
        "<h2>How the distribution developed</h2>",
        f"<p>{escape(record.cost_line)}.{_aim(record)}</p>",
        image(pictures, "distribution", "Expected cost and entropy of the distribution over the epochs"),
        "<p class=note>Entropy is the mean over the choices, each as a share of the largest: 100 % is uniform, 0 % is "
        "decided. Below, the probability of each value at the end, the most probable one marked. Choices are "
        "independent. Networks come from this distribution: the most probable one within each of a ladder of budgets, "
        "then draws.</p>",
    ]
    return "".join([*parts, *_snapshots(record)])


def distributions_section(record: TrainingRecord | None, pictures: dict[str, bytes]) -> str:
    """Return the section about the distributions of several devices; nothing without a one-shot training for them."""
    if record is None or not record.devices:
        return ""
    shared = (
        "One distribution serves all devices: what it learned from does not depend on their latency tables. Each "
        "device takes from it what is most probable within its own budgets."
        if record.is_shared
        else "Each device has a distribution of its own, learned with its own table and budgets. They share the "
        "weights, and took turns in the steps of the training: each got an equal share."
    )
    parts = [f"<h2>How the distributions developed</h2><p>{escape(record.cost_line)}. {shared}</p>"]
    for name in record.devices:
        own, last = record.of(name), record.devices[name].epochs[-1]
        parts += [
            f"<h3>Distribution of {escape(name)}</h3><p>{escape(_came_to(own, last))}{_aim(own)}</p>",
            image(pictures, picture_name(name), f"Expected cost and entropy over the epochs, for {name}"),
            "<details><summary>Probabilities</summary>",
            *_snapshots(own),
            "</details>",
        ]
    return "".join(parts)


def picture_name(device: str) -> str:
    """Return the name of the picture of one of several devices."""
    return f"distribution-{device}"


def _came_to(record: TrainingRecord, last: EpochRecord) -> str:
    cost = None if record.cost is None else cost_of_key(record.cost)
    entropy = f"entropy {last.entropy:.0%}"
    if cost is None or last.expected is None:
        return f"At the end: {entropy}."
    return f"At the end: expected {cost.title} {cost.format(last.expected)}, {entropy}."


def _snapshots(record: TrainingRecord) -> list[str]:
    """Return the probabilities of each distribution that networks are taken from."""
    parts, count = list[str](), len(record.snapshots)
    for number, snapshot in enumerate(record.snapshots):
        title = f"Distribution {count - number} of {count}"
        shown = _probabilities(record, snapshot)
        if number:
            parts.append(f"<details><summary>{title}</summary>{shown}</details>")
        else:
            parts += [f"<h3>{title}</h3>" if count > 1 else "", shown]
    return parts


def _aim(record: TrainingRecord) -> str:
    cost = None if record.cost is None else cost_of_key(record.cost)
    if cost is None or record.reference is None:
        return ""
    text = cost.format(record.reference)
    if not record.counts:
        return f" The expected {escape(cost.title)} was followed, but was no part of the loss."
    counted = f" The expected {escape(cost.title)} counted in the loss as a share of"
    if not record.is_budget:
        return f"{counted} {escape(text)}, the median of random networks."
    if record.cost == LATENCY.key:
        return f"{counted} the budget, which is {escape(text)} in the statistic of the table's predictions."
    return f"{counted} the budget, {escape(text)}."


def _probabilities(record: TrainingRecord, snapshot: Sequence[Sequence[float]]) -> str:
    rows = []
    for name, values, vector in zip(record.choices, record.values, snapshot, strict=True):
        if len(values) < 2:
            continue
        most = max(range(len(vector)), key=vector.__getitem__)
        chips = [
            f"<span{' class=more' if code == most else ''}>{escape(value)} <small>{p:.0%}</small></span>"
            for code, (value, p) in enumerate(zip(values, vector, strict=True))
            if p >= _SMALL or code == most
        ]
        left = len(values) - len(chips)
        chips += [f"<small>{left} more below 0.5%</small>"] if left else []
        rows.append(f"<dt>{escape(name)}</dt><dd>{''.join(chips)}</dd>")
    return f"<dl class=choices>{''.join(rows)}</dl>"
