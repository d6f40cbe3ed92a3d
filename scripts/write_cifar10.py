"""Write docs/cifar10.md and its pictures from results of scripts/cifar10.py in docs/results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from _cifar_jobs import FULL, core_hours, settings_of
from _cifar_table import draw_full, findings, flatness, markdown, trained_before
from _page import save_figure, wrapped

from latency_tables import write_atomic

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE = DOCS / "cifar10.md"
FULL_SCALES = {
    "full": "Scale `full`",
    "long": "Scale `full`, trained for longer",
    "within": "Scale `full`, searched for the best network within a limit",
}
"""Results of scale full and their headings; each is of a work directory of its own, the last two with more epochs."""
SCALES = (*FULL_SCALES, "small")
SAMPLINGS = ("uniform", "bestup")
COLOURS = {"uniform": "#8a94a0", "bestup": "#1f6fb4"}


def mean_and_spread(values: list[float], form: str) -> str:
    """Format mean and standard deviation over seeds."""
    return f"{np.mean(values):{form}} ± {np.std(values, ddof=1 if len(values) > 1 else 0):{form}}"


def rank_lines(record: dict[str, Any]) -> list[str]:
    """Write rank quality, fronts, and smallest and largest networks of the two samplings."""
    rows = record["supernets"]
    lines = [
        "| subnets of a step | Kendall's tau by seed (90 % interval) | hypervolume | smallest | largest | training |",
        "|---|---|---|---|---|---|",
    ]
    for name in SAMPLINGS:
        row = rows[name]
        taus = ", ".join(f"{t['tau']:.2f} ({t['low']:.2f}-{t['high']:.2f})" for t in row["tau_by_seed"])
        cells = [
            f"`{name}`",
            taus,
            mean_and_spread(row["hypervolume"], ".4f"),
            mean_and_spread(row["smallest"], ".2%"),
            mean_and_spread(row["largest"], ".2%"),
            f"{np.mean(row['training_seconds']) / 60:.1f} min",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def tau_within_resolutions(record: dict[str, Any], sampling: str) -> float:
    """Compute Kendall's tau-a over the pairs of networks that read images of one size."""
    networks = record["supernets"]["networks"]
    sizes = [network["arch"].split("_")[1] for network in networks]
    alone = [network["test"] for network in networks]
    signs = [
        np.sign((shared[i] - shared[j]) * (alone[i] - alone[j]))
        for shared in record["supernets"][sampling]["shared"]
        for i, j in combinations(range(len(networks)), 2)
        if sizes[i] == sizes[j]
    ]
    return float(np.mean(signs))


def lead_lines(record: dict[str, Any]) -> list[str]:
    """Write the differences between the networks of hwnas and the best other family."""
    leads = []
    for point in record["baselines"]:
        means = {family: np.mean([run["test"] for run in runs]) for family, runs in point["families"].items()}
        others = [(value, family) for family, value in means.items() if family != "hwnas"]
        best, family = max(others)
        leads.append(f"{(means['hwnas'] - best) * 100:+.1f} points over {family} at {point['limit_ms']:.3f} ms")
    return wrapped(f"Lead in mean accuracy over the best other family: {'; '.join(leads)}.")


def baseline_lines(record: dict[str, Any]) -> list[str]:
    """Write the table of all families at each latency point."""
    lines = [
        "| latency limit | network | measured | repeated | MACs | parameters | test accuracy of each seed | mean |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for point in record["baselines"]:
        ranked = sorted(point["families"].items(), key=lambda item: -np.mean([run["test"] for run in item[1]]))
        for family, runs in ranked:
            width = runs[0]["network"].partition(":")[2]
            cells = [
                f"{point['limit_ms']:.3f} ms",
                "**hwnas**" if family == "hwnas" else f"{family} x {width}",
                f"{np.mean([run['ms'] for run in runs]):.3f} ms",
                f"{np.mean([run['repeat_ms'] for run in runs]):.3f} ms",
                f"{np.mean([run['macs'] for run in runs]) / 1e6:.1f} M",
                f"{np.mean([run['params'] for run in runs]) / 1e3:.0f} k",
                ", ".join(f"{run['test']:.2%}" for run in runs),
                f"{np.mean([run['test'] for run in runs]):.2%}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw accuracy with shared weights over stand-alone accuracy, and all families over latency."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    alone = [network["test"] for network in record["supernets"]["networks"]]
    for name in SAMPLINGS:
        shared = np.mean(record["supernets"][name]["shared"], axis=0)
        left.scatter(alone, shared, s=16, color=COLOURS[name], label=name)
    left.set_xlabel("test accuracy, trained alone")
    left.set_ylabel("test accuracy, shared weights (mean of seeds)")
    left.legend(frameon=False, fontsize=8)
    families = sorted({family for point in record["baselines"] for family in point["families"]})
    for index, family in enumerate(families):
        points = [p["families"][family] for p in record["baselines"] if family in p["families"]]
        x = [float(np.mean([run["ms"] for run in runs])) for runs in points]
        y = [float(np.mean([run["test"] for run in runs])) for runs in points]
        style = (
            {"linewidth": 2.2, "color": "#1f6fb4"}
            if family == "hwnas"
            else {"linewidth": 1.1, "color": f"C{index + 1}"}
        )
        right.plot(x, y, marker="o", markersize=4, label=family, **style)  # type: ignore[arg-type]
    right.set_xscale("log")
    limits = [point["limit_ms"] for point in record["baselines"]]
    right.set_xticks(limits, [f"{limit:.3f}" for limit in limits])
    right.xaxis.set_minor_locator(NullLocator())
    right.set_xlabel("measured latency (ms)")
    right.set_ylabel("test accuracy (mean of seeds)")
    if families:
        right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.grid(color="#e6e9ec", linewidth=0.6)
    save_figure(figure, path)


def picture(scale: str) -> str:
    """Return the file name of a scale's picture."""
    return f"cifar10-{scale}.png"


def section(scale: str, record: dict[str, Any]) -> list[str]:
    """Write the results of one scale."""
    settings, data = record["settings"], record["data"]
    core = " core, beside other work" if settings["device"] == "cpu" else ""
    lines = [
        f"## Scale `{scale}`",
        "",
        *wrapped(
            f"""`scripts/cifar10.py --scale {scale}`: {data["train"]:,} train, {data["validation"]:,} validation and
            {data["test"]:,} test images of CIFAR-10 (JPEG). Every network that is trained alone gets
            {settings["epochs"]} epochs, a supernet {settings["supernet_epochs"]}, in batches of
            {settings["batch_size"]}. Latency is measured on {record["device"]["cpu"]}, one thread. All trainings
            together took {record["training_seconds"] / 3600:.1f} hours of one {settings["device"].upper()}{core}."""
        ),
        *wrapped(
            f"""The table compares two ways to choose the subnets of a training step, over {settings["seeds"]} seeds.
            *Kendall's tau* is the rank correlation between accuracies of networks trained alone and of the same
            networks cut out of the supernet, for {len(record["supernets"]["networks"])} networks spread over
            latency. *Hypervolume* is that of the front that a search of {settings["samples"]} samples finds on the
            supernet (test accuracy above chance and log latency, scaled to 0-1). *Smallest* and *largest* are test
            accuracies of the smallest and the largest network with shared weights."""
        ),
        *rank_lines(record),
        *wrapped(
            f"""Part of the rank correlation comes from the image sizes, which are easy to rank. Among networks with one
            image size it is {tau_within_resolutions(record, "uniform"):.2f} (`uniform`) and
            {tau_within_resolutions(record, "bestup"):.2f} (`bestup`), over all seeds. Both samplings train on the
            same number of images; `bestup` also evaluates candidates."""
        ),
    ]
    if record["baselines"]:
        lines += wrapped(
            """The next table compares networks found on the `bestup` supernets with off-the-shelf families at the
            largest width that meets the same latency limit. All are trained from scratch with the same recipe. For
            each limit, every search contributes the network that it ranks first. Each of these is trained once, with
            a seed that is used for nothing else. The best of them on the validation part is shown here, trained
            again with the seeds of the other families:"""
        )
        lines += baseline_lines(record)
        lines += lead_lines(record)
        for point in record["baselines"]:
            arch = point["families"]["hwnas"][0]["network"].partition(":")[2]
            lines.append(f"* {point['limit_ms']:.3f} ms: `{arch}`")
        lines.append("")
    if scale == "small":
        lines += wrapped(
            """These short trainings do not reach the networks' best accuracies: they compare networks of equal latency
            after the same short training. ResNets and MobileNetV2 in particular learn slowly at first."""
        )
    return [*lines, f"![Rank quality, and accuracy over latency]({picture(scale)})", ""]


def unfinished(name: str, record: dict[str, Any]) -> list[str]:
    """Write what is not trained, or not for so long."""
    left = record["networks_left"]
    if name == "long":
        return wrapped(
            """These are networks that the searches above chose, and their rivals. Supernets, searches and choices are
            the same; only the trainings of single networks are longer. The searches that look for networks as slow as
            ResNet-IC02 are those of the next section."""
        )
    if name == "within":
        return wrapped(
            """These searches have one goal, the best network within a limit (`--goal best`): ResNet-8's latency, or
            three quarters of ResNet-IC02's. Their supernets are their own. The networks are trained as those above."""
        )
    if not left:
        return []
    return wrapped(f"The experiment is not finished: {left} networks are not trained yet, so some rows have one seed.")


def full_section(name: str, records: Mapping[str, dict[str, Any]]) -> list[str]:
    """Write the results of scale `full`, one of `FULL_SCALES`; those of others may be compared with them."""
    record = records[name]
    before = records["long"]["rows"] if name == "within" and "long" in records else []
    settings = record["settings"]
    so_far = " so far" if record["networks_left"] else ""
    cost = f"Everything{so_far} took" if name == "full" else "Together with supernets and searches this took"
    usual = settings_of(FULL)
    change = "".join(f" --change {name}={value}" for name, value in settings.items() if value != usual[name])
    return [
        f"## {FULL_SCALES[name]}",
        "",
        *wrapped(
            f"""`scripts/cifar10.py --scale full{change}`: all networks are trained for {settings["epochs"]} epochs on
            the whole train set, the first {settings["small_first"]:.0%} of them on
            [smaller images](training.md#smaller-images-first), with the same recipe and {settings["seeds"]} seeds, and
            judged once on {record["test_images"]:,} test images. Searches evaluated {settings["samples"]} networks
            each, on supernets of {settings["supernet_epochs"]} epochs. Latencies were measured on {record["cpu"]}, one
            thread, all networks in the same rounds. {cost} {record["core_seconds"] / 3600:.1f} core-hours.
            {flatness(record["networks"])}"""
        ),
        *unfinished(name, record),
        *(
            wrapped(
                """The space is [`resnet`](space.md#resnet): residual networks whose stages are dense or inverted.
                ResNet-8 is one of them."""
            )
            if name == "full"
            else ()
        ),
        *markdown(record["rows"]),
        "",
        *(part for line in findings(record["rows"]) for part in wrapped(line)),
        *(part for line in trained_before(record, before) for part in wrapped(line)),
        f"![Accuracy over measured latency]({picture(name)})",
        "",
    ]


def to_come() -> list[str]:
    """Write how results of scale `full` are made, where there are none."""
    return [
        "## Scale `full`",
        "",
        *wrapped(
            f"""There are no results of scale `full` yet. It trains to the end ({FULL.epochs} epochs of all images,
            {FULL.seeds} seeds) and compares residual networks of four searches (on measured latency, for a front or
            for the best network within a limit; on MACs; random) with MLPerf Tiny's two ResNets and narrowed
            MobileNets, in float32 and int8. `scripts/cifar10.py --scale full --plan` lists its jobs: about
            {core_hours(FULL):.0f} core-hours, as estimated, on a processor that multiplies bfloat16, in as many
            sittings as you like, or a GPU for the trainings (`--device cuda`)."""
        ),
    ]


def page(records: Mapping[str, dict[str, Any]]) -> str:
    """Write the page with the results of all scales."""
    lines = ["# CIFAR-10", "", "Written by `scripts/write_cifar10.py` from `docs/results`; do not edit by hand.", ""]
    for scale, record in records.items():
        lines += full_section(scale, records) if scale in FULL_SCALES else section(scale, record)
    return "\n".join([*lines, *([] if "full" in records else to_come())])


def read() -> dict[str, dict[str, Any]]:
    """Read the existing results, by scale."""
    paths = {scale: DOCS / "results" / f"cifar10-{scale}.json" for scale in SCALES}
    return {scale: json.loads(path.read_text(encoding="utf-8")) for scale, path in paths.items() if path.exists()}


def main() -> int:
    """Write the page and its pictures."""
    records = read()
    for scale, record in records.items():
        (draw_full if scale in FULL_SCALES else draw)(record, DOCS / picture(scale))
    write_atomic(PAGE, page(records))
    return 0


if __name__ == "__main__":
    sys.exit(main())
