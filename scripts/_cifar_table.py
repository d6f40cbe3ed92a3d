"""Table and picture of scripts/cifar10.py at scale full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from _cifar_jobs import BEST, REFERENCE, REFERENCES, FullScale, Job, last_jobs, networks_of, phases_of, settings_of
from _jobs import Results
from _page import save_figure

LAMOO_PARAMS, LAMOO_ACCURACY = 1.62e6, 0.9736
"""LaMOO's published network on CIFAR-10 (Zhao et al. 2022), which was trained for far longer."""
LAST_EPOCHS = 5
"""Epochs at the end of a training over which its loss must be flat."""
MLPERF_TARGET = 0.85
"""Accuracy that MLPerf Tiny asks of the smaller reference (Banbury et al. 2021, arXiv 2106.07597)."""
HIGH = 0.91
"""Accuracy that a network faster than the larger reference should have."""
_METHODS = {
    "latency": "hwnas",
    "within": "hwnas, `--goal best`",
    "macs": "hwnas, `--minimize macs`",
    "random": "random search",
}
_COLOURS = {
    "latency": "#1f6fb4",
    "within": "#3f9c68",
    "macs": "#c06a1b",
    "random": "#8a94a0",
    "baseline": "#222222",
    "plain": "#b04a6a",
}
_OURS = {"latency": "", "within": ", searching for the best network within it"}
"""Searches on measured latency, and what a sentence on a reference's latency adds for them."""
_NUMBERS = ("test", "median_ms", "p90_ms", "int8_test", "int8_median_ms", "int8_p90_ms", "macs", "params", "images")

Row = Mapping[str, Any]


def record_of(scale: FullScale, results: Results, *, so_far: bool = False) -> dict[str, Any]:
    """Return everything that the page says, from the results of all jobs.

    Args:
        scale: How much is done.
        results: The files of its jobs.
        so_far: Whether networks that are not trained yet are left out.

    Raises:
        SystemExit: The last job is not done.
    """
    _, measured, tested = last_jobs(so_far=so_far)
    times, tests = results.need(measured), results.need(tested)
    networks = [
        network_of(job, result, times["ms"], tests["test"])
        for job in networks_of(scale)
        if (result := results.get(job)) is not None and f"{job.name} fp32" in times["ms"]
    ]
    finished = [result for phase in phases_of(scale) for job in phase.jobs if (result := results.get(job))]
    left = [job for job in networks_of(scale) if results.get(job) is None]
    return {
        "scale": "full",
        "settings": settings_of(scale),
        "cpu": times["cpu"],
        "test_images": tests["images"],
        "reference_ms": {
            name: times["ms"][timed]["median"] for name in REFERENCES if (timed := f"{REFERENCE} {name}") in times["ms"]
        },
        "core_seconds": round(sum(float(result["core_seconds"]) for result in finished)),
        "networks_left": len(left),
        "networks": networks,
        "rows": rows_of(networks),
    }


def network_of(job: Job, result: Row, ms: Mapping[str, Row], test: Mapping[str, float]) -> dict[str, Any]:
    """Return one network's line of the record."""
    floats, ints = ms[f"{job.name} fp32"], ms[f"{job.name} int8"]
    return {
        **{name: result[name] for name in ("network", "macs", "params", "images")},
        "kind": job.what if job.kind == "found" else job.kind,
        "family": "" if job.kind == "found" else job.what,
        "goal": job.goal,
        "seed": job.seed,
        "within_limit": result.get("within_limit", True),
        "median_ms": floats["median"],
        "p90_ms": floats["p90"],
        "int8_median_ms": ints["median"],
        "int8_p90_ms": ints["p90"],
        "test": test[f"{job.name} fp32"],
        "int8_test": test[f"{job.name} int8"],
        "losses": result["losses"][-LAST_EPOCHS:],
    }


def rows_of(networks: Sequence[Row]) -> list[dict[str, Any]]:
    """Return means over seeds, and each seed's accuracy, by latency."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for network in networks:
        groups.setdefault((network["kind"], network["family"], network["goal"]), []).append(network)
    rows = []
    for (kind, family, goal), group in groups.items():
        means = {name: mean(float(network[name]) for network in group) for name in _NUMBERS}
        tests = [network["test"] for network in group]
        within = all(network["within_limit"] for network in group)
        rows.append({"kind": kind, "family": family, "goal": goal, **means, "tests": tests, "within_limit": within})
    return sorted(rows, key=lambda row: float(row["median_ms"]))


def findings(rows: Sequence[Row]) -> list[str]:
    """Return what the rows say, one sentence each."""
    by_kind = {(row["kind"], row["family"], row["goal"]): row for row in rows}
    ours = [row for row in rows if row["kind"] in _OURS]
    lines = []
    for reference in REFERENCES:
        base = by_kind.get(("baseline", reference, ""))
        if base is None:
            continue
        for kind, how in _OURS.items():
            at_limit = by_kind.get((kind, "", f"{reference}-100"))
            if at_limit:
                lines.append(
                    f"At {reference}'s latency{how}: {_points(at_limit, base)} points of test accuracy against it, in "
                    f"{at_limit['median_ms'] / base['median_ms']:.0%} of its time."
                )
        equal = [row for row in ours if row["test"] >= base["test"]]
        if equal:
            fastest = min(equal, key=lambda row: float(row["median_ms"]))
            if fastest["median_ms"] < base["median_ms"]:
                lines.append(
                    f"The fastest network of hwnas that is at least as accurate as {reference} takes "
                    f"{fastest['median_ms']:.3f} ms: {base['median_ms'] / fastest['median_ms']:.2f} times faster."
                )
        else:
            lines.append(f"No network of hwnas is as accurate as {reference}.")
    smaller = by_kind.get(("baseline", REFERENCES[0], ""))
    if smaller and smaller["test"] < MLPERF_TARGET:
        lines.append(
            f"{REFERENCES[0]} reaches {smaller['test']:.2%}. MLPerf Tiny asks {MLPERF_TARGET:.0%} of it, after a "
            "longer training: these trainings end flat, but early."
        )
    for rival, name in (("macs", "the search on MACs"), ("random", "a random search")):
        if told := _at_each_goal(by_kind, "latency", rival):
            lines.append(f"The search on measured latency against {name}: {told}.")
    if told := _at_each_goal(by_kind, "within", "latency"):
        lines.append(f"The search for the best network within a limit against that for the front: {told}.")
    lines += [*_parts_of_the_gain(by_kind), *_high(ours, by_kind.get(("baseline", REFERENCES[1], "")))]
    small = [row for row in rows if row["params"] <= LAMOO_PARAMS]
    if small:
        best = max(small, key=lambda row: float(row["test"]))
        lines.append(
            f"The most accurate network of at most 1.62 M parameters reaches {best['test']:.2%}; LaMOO's published "
            f"network of that size reaches {LAMOO_ACCURACY:.2%}, after a far longer training."
        )
    return lines


def trained_before(record: Row, before: Sequence[Row]) -> list[str]:
    """Return how networks found within a limit compare with references that another experiment has trained.

    Args:
        record: Of the networks found; some seeds of a reference may be trained there, too.
        before: Rows of the other experiment, with the same recipe.
    """
    lines = []
    for reference in REFERENCES:
        here, there = (_row(given, "baseline", reference, "") for given in (record["rows"], before))
        found = [row for row in record["rows"] if row["kind"] == "within" and row["goal"].startswith(f"{reference}-")]
        seeds = [] if here is None else here["tests"]
        if there is None or not found or len(there["tests"]) <= len(seeds):
            continue
        again = " (the first, trained again here, got the same accuracy)" if there["tests"][0] in seeds[:1] else ""
        count = len(there["tests"])
        with_seeds = "with one seed above" if count == 1 else f"with {count} seeds above"
        milliseconds = record["reference_ms"][reference] if here is None else here["median_ms"]
        standings = (f"{_points(row, there)} points in {row['median_ms'] / milliseconds:.0%}" for row in found)
        lines.append(
            f"{reference}, trained {with_seeds}, reached {there['test']:.2%}{again}. Against that, networks found here "
            f"stand at {'; '.join(standings)} of its time."
        )
    return lines


def _row(rows: Sequence[Row], kind: str, family: str, goal: str) -> Row | None:
    return next((row for row in rows if (row["kind"], row["family"], row["goal"]) == (kind, family, goal)), None)


def _at_each_goal(by_kind: Mapping[tuple[str, str, str], Row], own: str, rival: str) -> str:
    """Return how one search compares with another at each goal that both serve."""
    pairs = [(row, by_kind.get((rival, "", row["goal"]))) for (kind, _, _), row in by_kind.items() if kind == own]
    return "; ".join(f"{_goal(row['goal'])} {_against(row, other)}" for row, other in pairs if other)


def _parts_of_the_gain(by_kind: Mapping[tuple[str, str, str], Row]) -> list[str]:
    """Return what recipe, space and search give at the smaller reference's latency, one after the other."""
    reference = REFERENCES[0]
    base, plain = (by_kind.get((kind, reference, "")) for kind in ("baseline", "plain"))
    random, ours = (by_kind.get((kind, "", f"{reference}-100")) for kind in ("random", "latency"))
    if not (base and random and ours):
        return []
    recipe = f"the recipe gives {reference} {_points(base, plain)} points over a plain one, " if plain else ""
    return [
        f"Where the accuracy at {reference}'s latency comes from: {recipe}the space (a random search in it) gives "
        f"{_points(random, base)} points over {reference}, the search on measured latency {_points(ours, random)} "
        "over the random one."
    ]


def _high(ours: Sequence[Row], reference: Row | None) -> list[str]:
    """Return how the fastest accurate network compares with the larger reference."""
    if reference is None:
        return []
    high = [row for row in ours if row["test"] >= HIGH]
    if not high:
        return [f"No network of hwnas reaches {HIGH:.0%}."]
    fastest = min(high, key=lambda row: float(row["median_ms"]))
    return [
        f"The fastest network of hwnas with {HIGH:.0%} or more ({fastest['test']:.2%}) takes "
        f"{fastest['median_ms']:.3f} ms; {reference['family']} ({reference['test']:.2%}) takes "
        f"{reference['median_ms']:.3f} ms."
    ]


def flatness(networks: Sequence[Row]) -> str:
    """Return how much the losses still fell at the end of the trainings."""
    falls = [(network["losses"][0] - network["losses"][-1]) / network["losses"][0] for network in networks]
    return (
        f"Over the last {LAST_EPOCHS} epochs the training losses fell by {100 * mean(falls):.1f} % in the mean of all "
        f"networks, and by {100 * max(falls):.1f} % at most."
    )


def markdown(rows: Sequence[Row]) -> list[str]:
    """Return the table of all networks."""
    lines = [
        "| network | chosen for | test accuracy (seeds) | median | p90 | int8 accuracy | int8 median | int8 p90 | "
        "MACs | parameters |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        seeds = ", ".join(f"{100 * test:.2f}" for test in row["tests"])
        plain = f"{row['family']}, plain recipe" if row["kind"] == "plain" else row["family"]
        goal = _goal(row["goal"]) if row["goal"] else "as published"
        cells = [
            _METHODS.get(row["kind"], plain),
            goal if row["within_limit"] else f"{goal} (over it)",
            f"{row['test']:.2%} ({seeds})",
            f"{row['median_ms']:.3f} ms",
            f"{row['p90_ms']:.3f} ms",
            f"{row['int8_test']:.2%}",
            f"{row['int8_median_ms']:.3f} ms",
            f"{row['int8_p90_ms']:.3f} ms",
            f"{row['macs'] / 1e6:.1f} M",
            f"{row['params'] / 1e3:.0f} k",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def draw_full(record: Row, path: Path) -> None:
    """Draw accuracy over measured latency: filled in float32, hollow in int8."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(9, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    for kind, colour in _COLOURS.items():
        rows = [row for row in record["rows"] if row["kind"] == kind]
        if not rows:
            continue
        label = _METHODS.get(kind, {"plain": "plain recipe"}.get(kind, kind)).replace("`", "")
        for prefix, face in (("", colour), ("int8_", "none")):
            x, y = [row[f"{prefix}median_ms"] for row in rows], [row[f"{prefix}test"] for row in rows]
            text = f"{label}, int8" if prefix else label
            axes.scatter(x, y, s=26, facecolors=face, edgecolors=colour, label=text)
    for row in record["rows"]:
        if row["kind"] == "baseline":
            axes.text(row["median_ms"], row["test"], f"{row['family']}  ", fontsize=7, va="center", ha="right")
    axes.set_xscale("log")
    for axis_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        axis_formatter(StrMethodFormatter("{x:.3g}"))
    axes.set_xlabel("measured latency, median of one thread (ms)")
    axes.set_ylabel("test accuracy (mean of seeds)")
    axes.grid(color="#e6e9ec", linewidth=0.6)
    figure.legend(loc="outside right upper", frameon=False, fontsize=7)
    save_figure(figure, path)


def _goal(goal: str) -> str:
    if goal == BEST:
        return "accuracy alone"
    if goal in REFERENCES:  # of a narrowed baseline
        return f"{goal}'s latency"
    base, _, percent = goal.rpartition("-")
    return f"{base}'s latency" if percent == "100" else f"{percent} % of {base}'s latency"


def _against(row: Row, other: Row) -> str:
    return f"{_points(row, other)} points, {row['median_ms'] / other['median_ms']:.0%} of its time"


def _points(row: Row, other: Row) -> str:
    return f"{100 * (row['test'] - other['test']):+.2f}"
