"""The report: PNG files and one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwnas._report._canvas import NoPictureError, pictures_of
from hwnas._report._choices import favour_table, favours
from hwnas._report._curves import make_curves, measured_pairs
from hwnas._report._html import escape, image, page
from hwnas._report._networks import networks_section
from hwnas._report._partition import partition_plot, partition_rows
from hwnas._report._time import Spent, time_plot, time_spent, time_table
from hwnas._runs._delivered import error_lines, shortcomings, written_compared, written_test
from hwnas._runs._front import keeps, pick_network
from hwnas._runs._metrics import metric_of, metric_of_run
from hwnas._runs._offline import elsewhere_line, is_elsewhere
from hwnas._runs._run import Run
from hwnas._version import __version__
from hwnas.spaces import Space
from hwnas.tasks import Metric
from latency_tables import LatencyTable, load_table, read_regular, strict_json
from search import Partition, Study, Trial, partition_of


def write_report(run: Run, study: Study, space: Space) -> str:
    """Write ``report.html`` and, where matplotlib can draw, the PNG files it shows.

    Args:
        run: a run with ``pareto.json``.
        study: what was searched for and found, with at least one successful trial.
        space: where.

    Returns:
        Why there are no pictures; empty where there are.
    """
    copy = run.path / "table.json"
    table = load_table(copy) if copy.exists() else None
    networks = run.pareto()
    shown = _Shown(
        run=run,
        study=study,
        space=space,
        table=table,
        networks=networks,
        partition=partition_of(study),
        spent=time_spent(space, table, networks),
    )
    why = ""
    try:
        pictures = pictures_of(lambda: _pictures(shown))
    except NoPictureError as error:
        pictures, why = {}, f"no pictures in the report: {error}"
    for name, data in pictures.items():
        run.write(f"{name}.png", data)
    run.write("report.html", _page(shown, pictures, why))
    return why


@dataclass(frozen=True)
class _Shown:
    """What the report is about."""

    run: Run
    study: Study
    space: Space
    table: LatencyTable | None
    networks: Sequence[dict[str, Any]]
    partition: Partition | None
    spent: Sequence[Spent]

    @property
    def metric(self) -> Metric:
        """Of the evaluator."""
        return metric_of_run(self.run.identity, self.run.settings.evaluator)


def _pictures(shown: _Shown) -> dict[str, bytes]:
    from hwnas._report import _plots

    study, networks, partition = shown.study, shown.networks, shown.partition
    curves = make_curves(study.problem, study.trials, shown.metric, _seconds(shown.run))
    found = {
        "front": _plots.front_plot(curves, networks, shown.run.settings.budgets.get("latency_ms")),
        "time": time_plot(shown.spent) if shown.spent else None,
        "hypervolume": _plots.hypervolume_plot(curves),
        "hypervolume_time": _plots.time_curve_plot(curves),
        "latency": _plots.latency_plot(networks),
        "partition": partition_plot(partition, study.problem, study.trials, shown.metric) if partition else None,
    }
    return {name: data for name, data in found.items() if data is not None}


def _seconds(run: Run) -> dict[int, float] | None:
    """Seconds that each journalled trial took, by number; None where the journal does not say."""
    try:
        lines = read_regular(run.path / "trials.jsonl").splitlines()
        return {record["number"]: float(record["seconds"]) for record in map(strict_json, lines)}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _page(shown: _Shown, pictures: dict[str, bytes], why: str) -> str:
    run, trials, networks, table = shown.run, shown.study.trials, shown.networks, shown.table
    parts = [
        f"<h1>hwnas: {escape(run.path.name)}</h1>",
        f"<p>{escape(_summary(run, trials, networks))}</p>",
        *(f"<p class=warn>{escape(line)}.</p>" for line in shortcomings(networks, run.settings.budgets)),
        *(f"<p class=note>{escape(line)}.</p>" for line in error_lines(networks)),
        image(pictures, "front", f"{shown.metric.title} against cost: all trials, the front, the winners"),
        "<h2>Networks</h2>",
        networks_section(run, networks),
        f"<p class=note>{_explanation(run, networks)}</p>",
        _time_section(shown, pictures),
        "<h2>Does the table hold?</h2>",
        _table_section(run, table, networks),
        image(pictures, "latency", "Predicted against measured latency of the winners"),
        "<h2>Progress</h2>",
        image(pictures, "hypervolume", "Hypervolume over evaluated architectures"),
        image(pictures, "hypervolume_time", "Hypervolume over the time of evaluations"),
        _choices_section(shown),
        _partition_section(shown.partition, pictures),
        f"<p class=note>{escape(why)}</p>" if why else "",
        "<h2>Settings and device</h2>",
        _facts({**_flat(run.settings.as_dict()), **(dict(table.identity) if table else {}), "hwnas": __version__}),
    ]
    return page(run.path.name, "\n".join(part for part in parts if part))


def _time_section(shown: _Shown, pictures: dict[str, bytes]) -> str:
    if not shown.spent:
        return ""
    return (
        "<h2>Where the time goes</h2>"
        + image(pictures, "time", "Predicted latency of each network, part by part")
        + "<p class=note>Prices of the latency table, calibrated; below, the dearest operators of each network.</p>"
        + time_table(shown.spent)
    )


def _choices_section(shown: _Shown) -> str:
    front, trials = shown.study.front(), shown.study.context().successful
    found = favours(shown.space, front, trials)
    return f"<h2>What the front has in common</h2>{favour_table(found, len(front), len(trials))}" if found else ""


def _summary(run: Run, trials: Sequence[Trial], networks: Sequence[dict[str, Any]]) -> str:
    cheap = sum(trial.cheap for trial in trials)
    failed = sum(not trial.ok for trial in trials)
    text = f"{len(trials) - cheap} architectures evaluated with {run.settings.strategy}"
    text += f", {cheap} looked at cheaply ({run.settings.cheap})" if cheap else ""
    text += f" ({failed} failed)" if failed else ""
    if networks and networks[0]["onnx"]:
        how = "predicted" if any(n["latency_ms"]["measured"] is None for n in networks) else "measured"
        latencies = [n["latency_ms"][how] for n in networks]
        text += (
            f"; {len(networks)} networks delivered, {min(latencies):.3g}-{max(latencies):.3g} ms {how}, "
            f"the best at {_best(run, networks)}"
        )
    return text + "."


def _best(run: Run, networks: Sequence[dict[str, Any]]) -> str:
    budgets = run.settings.budgets
    over = not any(keeps(network, budgets) for network in networks)
    best = pick_network(networks, "best", budgets, allow_over_budget=over)
    return f"{written_compared(best)}, test {metric_of(best).name} {written_test(best)}"


def _explanation(run: Run, networks: Sequence[dict[str, Any]]) -> str:
    if any(n["onnx"] for n in networks):
        measured = any(n["latency_ms"]["measured"] is not None for n in networks)
        latency = "latency is that of the same file on this device" if measured else "latency was not measured"
        metric = metric_of(networks[0])
        error = f"one standard error of {escape(metric.name)}, from the number of samples, and "
        return (
            f"Test {escape(metric.name)} is that of the ONNX file on the test part, which the search never saw and by "
            "which nothing is picked: picks go by the validation part and the latency. "
            f"± is {error if metric.uncertainty else ''}half of the 90 % interval of a measured latency; "
            f"{latency}, the interval is the latency table's (90 %). Memory is the largest sum of live activations, "
            "which the search knew; arena is what ONNX Runtime really holds for them."
        )
    if run.settings.evaluator.startswith("table:"):
        return "Values were looked up in a benchmark table; nothing was trained, exported or measured."
    return f"Evaluator {escape(run.settings.evaluator)} has no weights to export; no network was measured."


def _table_section(run: Run, table: LatencyTable | None, networks: Sequence[dict[str, Any]]) -> str:
    lines = []
    if table is not None and is_elsewhere(table, run.settings):
        lines.append(f"{elsewhere_line(table)}.")
    pairs = measured_pairs(networks)
    if len(pairs):
        errors = np.abs(pairs[:, 0] - pairs[:, 3]) / pairs[:, 3]
        lines.append(
            f"Winners: predicted latency differs from the measured by {np.median(errors):.1%} in the median, "
            f"{errors.max():.1%} at most."
        )
    if table is None:
        lines.append("Latencies are a column of a benchmark table; nothing was measured here.")
    else:
        lines += table.report_lines()
        lines += [f"Note: {note}" for note in table.notes]
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _partition_section(partition: Partition | None, pictures: dict[str, bytes]) -> str:
    if partition is None:
        return ""
    heads, rows = partition_rows(partition)
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return (
        "<h2>Partition of the space</h2>"
        f"<p class=note>The tree that LaMOO learned from all trials: {len(partition.summary.nodes)} regions; below are "
        "those on the way to the region it would sample next, and their siblings. A region's share of the space "
        "is that of untried (in large spaces: random) candidates inside it.</p>"
        + image(pictures, "partition", "The partition tree, and the trials by region")
        + f"<div class=wide><table><tr>{''.join(f'<th>{escape(name)}</th>' for name in heads)}{cells}</table></div>"
    )


def _facts(facts: dict[str, Any]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd>" for name, value in facts.items())
    return f"<dl>{rows}</dl>"


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value not in (None, {}, [])}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
