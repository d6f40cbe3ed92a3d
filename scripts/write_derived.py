"""Write docs/compression.md and its picture from the tables of scripts/bench_derived.py in docs/results."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _derived_jobs import METHODS
from _derived_table import Row, markdown, merged
from _page import bullet, save_figure, wrapped

from latency_tables import write_atomic

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE, PICTURE = DOCS / "compression.md", DOCS / "compression.png"
RESULTS = tuple(DOCS / "results" / f"{name}.json" for name in ("derived", "derived-seed1", "derived-inverted"))
"""The comparison: a table for each day, with seeds of its own."""
WIDE, FRONT, HALF, BEST = (DOCS / "results" / f"derived-{name}.json" for name in ("wide", "front", "half", "best"))
"""Tables of other networks: from the widest space; of searches for the front around inverted, and one of these from
half of the channels on where a quarter was searched; and of searches for the best network around resnet20."""
_LEAST_HOURS = 0.005
COLOURS = {"ours": "#1f6fb4", "pruned": "#c0504d", "sparse": "#d99a3d", "narrow": "#8a94a0", "narrow-long": "#4d4d4d"}

WAYS = {
    "ours": """`hwnas search --model` within the budget, with measured trials (around inverted with `--goal best`); its
        best network is then fine-tuned alone;""",
    "pruned": """the package torch-pruning (DepGraph, Fang et al. 2023, arXiv 2301.12900): channels are ranked by
        first-order Taylor or L2 norm of dependency groups, across layers or within each, in multiples of 4 or 8. Each
        of these ways is tuned until the *measured* latency keeps the budget, and the one with the best validation
        accuracy is fine-tuned;""",
    "sparse": "the same, after training with the package's group-sparsity regulariser;",
    "narrow": "the same family with all channels scaled, tuned to the budget in the same way.",
}
"""What is compared, and how each network is made."""


def page(record: Row, wide: Row, front: Row, half: Row, best: Row) -> str:
    """Write the page.

    Args:
        record: The comparison.
        wide: The same in the widest space.
        front: The same around inverted with searches for the front.
        half: One of its networks from half of the channels on, where the search began at a quarter.
        best: The same around resnet20 with searches for the best network.
    """
    names = sorted(record["bases"])
    lines = [
        "# Compressing a trained model",
        "",
        *wrapped(f"Written by `scripts/write_derived.py` from {sources()}; do not edit by hand."),
        *wrapped(
            f"""Networks trained on CIFAR-10 (JPEG, 40,000 train and 10,000 validation images) are made faster in
            several ways ({", ".join(names)}; `scripts/train_bases.py`). Each budget is a share of a network's own
            latency: the median on {record["cpu"]}, one thread. `scripts/bench_derived.py` compares:"""
        ),
        *(line for method, text in WAYS.items() for line in bullet(f"*{METHODS[method]}*: {text}")),
        "",
        *wrapped(
            f"""{effort(record)} Augmentation, schedule and optimiser are the same; all but the narrowed networks
            learn from the base as teacher. hwnas spends half of the epochs on the supernet of its space, whose
            steps pass their images through four networks. Test accuracies are of the whole test part (10,000 images;
            one standard error is about 0.3 points), which nothing was chosen on. {apart(record)}"""
        ),
        *markdown(record["bases"], record["networks"]).splitlines(),
        "",
        *unfinished(record),
        f"![Accuracy over measured latency]({PICTURE.name})",
        "",
        *wrapped(costs(record["core_hours"])),
        *choices_of_search(record, wide, front, half, best),
    ]
    return "\n".join(lines)


def sources() -> str:
    """Write which files the page comes from."""
    *others, last = (f"`docs/results/{path.name}`" for path in RESULTS)
    return f"{', '.join(others)} and {last}"


def effort(record: Row) -> str:
    """Write how long the networks around each base are trained, and how many a search evaluates."""
    told = {}
    for name, base in record["bases"].items():
        elastic, tune, samples = (base["scale"][key] for key in ("elastic_epochs", "tune_epochs", "samples"))
        assert elastic == tune  # as the page says
        told[name] = (f"{elastic + tune} epochs of the train part", f"each search evaluates {samples} networks")
    if len(set(told.values())) == 1:
        epochs, search = next(iter(told.values()))
        return f"After the base, all see {epochs}; {search}."
    return " ".join(f"After {name}, all see {epochs}, and {search}." for name, (epochs, search) in told.items())


def apart(record: Row) -> str:
    """Write what was measured together."""
    tables = len({network["table"] for network in record["networks"]})
    if tables == 1:
        return "All networks were measured at the end in the same rounds."
    return """Each seed was trained on another day; a base that was trained again came out with the same bits. At the
        end, all networks of a seed were measured in the same rounds as their base. Latencies and shares are means over
        the seeds."""


def choices_of_search(record: Row, wide: Row, front: Row, half: Row, best: Row) -> list[str]:
    """Write what the choices of space and goal are worth: networks of several searches side by side."""
    (other,) = half["networks"]
    (own,) = (each for each in front["networks"] if (each["share"], each["method"]) == (other["share"], "ours"))
    lines = [
        "## What space and goal are worth",
        "",
        *wrapped(
            f"""A search around a model reaches only as far below it as its budget needs
            ([how](derive.md#how-far-below-the-model)). The widest space begins at a quarter of each layer's channels
            and offers a lower resolution: around resnet20 its smallest network takes a twentieth of the base's time.
            The supernet trains such networks in each step, too, and the rest suffers. *Goal* is what the search was
            for: the front, or the best network within the budget
            ([`--goal best`](constraints.md#objective-or-budget)). *Shared* is the validation accuracy with the weights
            of the supernet, *alone* the test accuracy after fine-tuning. Searches in the widest space evaluated
            {wide["settings"]["scale"]["samples"]} networks."""
        ),
        "| budget | channels, pixels | goal | seed | of base | shared | alone |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = [
        each for table in (wide, front, half, best, record) for each in table["networks"] if each["method"] == "ours"
    ]
    for each in sorted(ours, key=lambda each: (each["base"], -each["share"], each["seed"])):
        cells = [
            f"{each['base']}, {each['share']:.0%}",
            space_of(each, wide),
            each["found"].get("goal", "front"),
            str(each["seed"]),
            f"{each['ratio']:.1%}",
            f"{each['found']['validation_accuracy']:.2%}",
            f"{each['test']:.2%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        *wrapped(
            """In the widest space the shared weights rate networks of the lower resolution too high. Around resnet20,
            the network that they chose at 50 % is less accurate after fine-tuning than the one chosen at 35 %. (Both
            were fine-tuned by an earlier version, whose teacher saw enlarged images where its pupil reads smaller
            ones: networks of 24 pixels learned less than they can.)"""
        ),
        *wrapped(
            f"""The rule of the space was made after the searches around resnet20 with seed 0, whose spaces were set by
            hand from validation accuracies. At first it asked that the smallest network need at most *half* of each
            budget. So around {other["base"]} at {other["share"]:.0%} it took the space from a quarter of the channels
            on, where the search reached only {100 * own["test"]:.1f} % after fine-tuning. The search from half of the
            channels on, for the budget of 50 %, had found a network within this budget, too: fine-tuned for as many
            epochs, it reaches {100 * other["test"]:.1f} %. hwnas now asks for *three quarters*, and the searches for
            the best network followed that."""
        ),
        *wrapped(goals(record, front, best)),
    ]


def goals(record: Row, front: Row, best: Row) -> str:
    """Write what a search for the best network is worth beside one for the front: same base, supernet and seed."""
    pairs = {
        "inverted": (by_share(front, "inverted", 0), by_share(record, "inverted", 0)),
        "resnet20": (by_share(record, "resnet20", 1), by_share(best, "resnet20", 1)),
    }
    assert all(each["found"]["goal"] == "best" for _, after in pairs.values() for each in after.values())
    unused = {name: min(each["ratio"] / share for share, each in before.items()) for name, (before, _) in pairs.items()}
    told = {
        name: [
            f"{100 * (after[share]['test'] - earlier['test']):+.1f} points at {share:.0%}"
            for share, earlier in sorted(before.items(), reverse=True)
            if share in after and after[share]["found"]["space"] == earlier["found"]["space"]
        ]
        for name, (before, after) in pairs.items()
    }
    return (
        "A search for the front spends many of its samples on networks that are much faster than the budget. Its best "
        f"networks left up to {1 - unused['inverted']:.0%} of a budget unused around inverted, and "
        f"{1 - unused['resnet20']:.0%} around resnet20. From the same shared weights, the search for the best network "
        f"changed the accuracy after fine-tuning by {' and '.join(told['inverted'])} around inverted (seed 0), and by "
        f"{', '.join(told['resnet20'])} around resnet20 (seed 1). Shares of the base's time come from other rounds "
        "than the budgets, so two of them are slightly above; with one seed, differences below a point may be chance."
    )


def by_share(table: Row, base: str, seed: int) -> dict[float, Row]:
    """Return the networks of hwnas around a base with one seed, by their budget."""
    return {
        each["share"]: each
        for each in table["networks"]
        if (each["base"], each["method"], each["seed"]) == (base, "ours", seed)
    }


def space_of(network: Row, wide: Row) -> str:
    """Write which space a network was found in."""
    space = network["found"].get("space")
    if network in wide["networks"]:
        return "25 to 100 %, 24 and 32"
    least = 0.5 if space is None else min(space["widths"])
    return f"{100 * least:g} to 100 %, 32"


def unfinished(record: Row) -> list[str]:
    """Write what is not trained, or with one seed."""
    single = sorted({row["base"] for row in record["rows"] if len(row["tests"]) == 1})
    text = "Differences below half a point may be chance."
    if single:
        text = f"Around {' and '.join(single)} there is one seed: differences below a point may be chance. "
        text += "Elsewhere that holds below half a point." if len(single) < len(record["bases"]) else ""
    left = record["left"]
    text += f" The comparison is not finished: {left} networks are not trained yet." if left else ""
    return wrapped(text)


def costs(core_hours: Row) -> str:
    """Write what the jobs took."""
    kinds = {
        "elastic": "supernets",
        "search": "searches",
        "ours": "fine-tuning what they found",
        **{f"tune-{kind}": f"tuning *{METHODS[kind]}* to its budgets" for kind in ("pruned", "sparse", "narrow")},
        "sparse-training": "sparse training",
        **{kind: f"training *{METHODS[kind]}*" for kind in ("pruned", "sparse", "narrow", "narrow-long")},
    }
    told = [
        f"{text} {core_hours[kind]:.2f}" for kind, text in kinds.items() if core_hours.get(kind, 0.0) >= _LEAST_HOURS
    ]
    return f"Core-hours without the bases, all seeds and budgets together: {', '.join(told)}."


def draw(record: Row, path: Path) -> None:
    """Draw accuracy over measured latency: all networks of each method, one panel for each base."""
    from matplotlib.figure import Figure

    names = sorted(record["bases"])
    figure = Figure(figsize=(1.5 + 5.5 * len(names), 4.4), dpi=110, layout="constrained")
    panels: Sequence[Any] = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        base = record["bases"][name]
        axes.scatter(base["ms"], base["test"], s=50, marker="*", color="black", label="the base")
        for method, colour in COLOURS.items():
            rows = [row for row in record["rows"] if (row["base"], row["method"]) == (name, method)]
            if not rows:
                continue
            rows.sort(key=lambda row: row["ms"])
            axes.plot([row["ms"] for row in rows], [row["test"] for row in rows], color=colour, linewidth=1.2)
            networks = [each for each in record["networks"] if (each["base"], each["method"]) == (name, method)]
            x, y = [each["ms"] for each in networks], [each["test"] for each in networks]
            axes.scatter(x, y, s=22, color=colour, label=METHODS[method])
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("measured latency, median of one thread (ms)")
        axes.grid(color="#e6e9ec", linewidth=0.6)
    panels[0].set_ylabel("test accuracy (lines: mean of seeds)")
    shown = {text: handle for axes in panels for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    panels[0].legend(shown.values(), shown.keys(), frameon=False, fontsize=8, loc="lower right")
    save_figure(figure, path)


def read() -> tuple[Row, ...]:
    """Return the comparison and the four tables of other networks."""
    tables = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS]
    digests = {(name, digest) for table in tables for name, digest in table["settings"]["bases"].items()}
    assert len(digests) == len({name for name, _ in digests})  # a base has the same bits each day, as the page says
    others = (json.loads(path.read_text(encoding="utf-8")) for path in (WIDE, FRONT, HALF, BEST))
    return merged(tables), *others


def main() -> int:
    """Write the page and its picture."""
    record, *others = read()
    draw(record, PICTURE)
    write_atomic(PAGE, page(record, *others))
    return 0


if __name__ == "__main__":
    sys.exit(main())
