"""The report: PNG files and one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hwnas._common._canvas import NoPictureError, pictures_of
from hwnas._errors import RunError
from hwnas._report._choices import favour_table, favours
from hwnas._report._curves import make_curves
from hwnas._report._distribution import distribution_plot, distribution_section
from hwnas._report._exhibits import exhibits_section
from hwnas._report._front import front_data, front_script, front_section
from hwnas._report._html import escape, image, page
from hwnas._report._latencies import FloatArray, estimates_and_measurements, estimates_plot, latencies_section
from hwnas._report._networks import final_training, networks_section
from hwnas._report._partition import partition_plot, partition_rows
from hwnas._report._time import Spent, time_plot, time_spent, time_table
from hwnas._runs._agreement import agreement
from hwnas._runs._delivered import (
    error_lines,
    latency_of,
    measured_or_predicted,
    shortcomings,
    written_compared,
    written_test,
)
from hwnas._runs._front import keeps, pick_network
from hwnas._runs._journal import JOURNAL, TrialRecord, read_trials
from hwnas._runs._metrics import metric_of, metric_of_run
from hwnas._runs._offline import elsewhere_line, is_elsewhere
from hwnas._runs._options import DEFAULT_STATISTIC
from hwnas._runs._run import Run
from hwnas._runs._training import one_shot_training
from hwnas._version import __version__
from hwnas.oneshot import TrainingRecord
from hwnas.spaces import Space
from hwnas.tasks import Metric
from latency_tables import LatencyTable, load_table
from search import Partition, Study, Trial, partition_of


def write_report(run: Run, study: Study, space: Space) -> str:
    """Write ``report.html`` and, where matplotlib can draw, the PNG files it shows.

    Args:
        run: A run with ``pareto.json``.
        study: The finished search, with at least one successful trial.
        space: What was searched.

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
        original=run.original(),
        partition=partition_of(study),
        spent=time_spent(space, table, networks),
        records=_records(run),
        training=one_shot_training(run),
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
    original: dict[str, Any] | None
    partition: Partition | None
    spent: Sequence[Spent]
    records: Sequence[TrialRecord]
    training: TrainingRecord | None

    @property
    def metric(self) -> Metric:
        """Of the evaluator."""
        return metric_of_run(self.run.identity, self.run.settings.evaluator)

    @property
    def statistic(self) -> str:
        """Which statistic of measured latencies counts."""
        return self.run.settings.latency_statistic or DEFAULT_STATISTIC

    @property
    def estimates(self) -> FloatArray:
        """Estimated and measured latency of the trials that have both ``(n, 2)``."""
        return estimates_and_measurements(self.records, self.statistic)


def _pictures(shown: _Shown) -> dict[str, bytes]:
    from hwnas._report import _plots

    study, networks, partition = shown.study, shown.networks, shown.partition
    if not study.front():
        return {}  # no trial meets the budgets: there is nothing to scale the axes by
    seconds, pairs = _seconds(shown.records), shown.estimates
    goal = shown.run.settings.goal
    curves = make_curves(study.problem, study.trials, shown.metric, seconds, measured=len(pairs) > 0, goal=goal)
    pictures = {
        "front": _plots.front_plot(curves, networks, shown.run.settings.budgets.get("latency_ms"), shown.original),
        "time": time_plot(shown.spent) if shown.spent else None,
        "hypervolume": _plots.hypervolume_plot(curves),
        "hypervolume_time": _plots.time_curve_plot(curves),
        "latency": _plots.latency_plot(networks),
        "estimates": estimates_plot(pairs, shown.statistic),
        "distribution": distribution_plot(shown.training) if shown.training else None,
        "partition": partition_plot(partition, study.problem, study.trials, shown.metric) if partition else None,
    }
    return {name: data for name, data in pictures.items() if data is not None}


def _records(run: Run) -> list[TrialRecord]:
    """Return the journal's lines; none where it cannot be read."""
    try:
        return list(read_trials(run.path / JOURNAL, unhashed=run.unhashed))
    except RunError:
        return []


def _seconds(records: Sequence[TrialRecord]) -> dict[int, float] | None:
    """Return duration of each journalled trial in seconds, by number; None where the journal does not say."""
    seconds = {record.number: record.seconds for record in records if record.seconds is not None}
    return seconds if records and len(seconds) == len(records) else None


def _page(shown: _Shown, pictures: dict[str, bytes], why: str) -> str:
    run, trials, networks, table = shown.run, shown.study.trials, shown.networks, shown.table
    reached = "Best value within the budgets" if run.settings.goal == "best" else "Hypervolume"
    parts = [
        f"<h1>hwnas: {escape(run.path.name)}</h1>",
        f"<p>{escape(_summary(run, trials, networks))}</p>",
        *(f"<p class=warn>{escape(_sentence(line))}</p>" for line in shortcomings(networks, run.settings.budgets)),
        *(f"<p class=note>{escape(_sentence(line))}</p>" for line in error_lines(networks)),
        _front_section(shown, pictures),
        "<h2>Networks</h2>",
        networks_section(run, networks, shown.original),
        f"<p class=note>{_explanation(run, networks)}</p>",
        exhibits_section(run),
        latencies_section(networks),
        _time_section(shown, pictures),
        "<h2>How well does the latency table predict?</h2>",
        _table_section(run, table, networks),
        image(pictures, "latency", "Predicted against measured latency of the delivered networks"),
        image(pictures, "estimates", "Estimated against measured latency of the trials"),
        "<h2>Progress</h2>",
        image(pictures, "hypervolume", f"{reached} against the number of evaluated architectures"),
        image(pictures, "hypervolume_time", f"{reached} against the time spent on evaluations"),
        distribution_section(shown.training, pictures),
        _choices_section(shown),
        _partition_section(shown.partition, pictures),
        f"<p class=note>{escape(why)}</p>" if why else "",
        "<h2>Settings and device</h2>",
        _facts({**_flat(run.settings.as_dict()), **(dict(table.identity) if table else {}), "hwnas": __version__}),
    ]
    return page(run.path.name, "\n".join(part for part in parts if part), front_script())


def _front_section(shown: _Shown, pictures: dict[str, bytes]) -> str:
    description = f"{shown.metric.title} against cost: all trials, the front, the delivered networks"
    measured = len(shown.estimates) > 0
    data = front_data(
        shown.run,
        shown.networks,
        shown.study.trials,
        shown.space,
        shown.metric,
        measured=measured,
        original=shown.original,
    )
    return front_section(data, image(pictures, "front", description))


def _sentence(line: str) -> str:
    """Return a line as a sentence; one that begins with a network's id keeps its first letter."""
    return f"{line[0].upper() if line.split()[0].isalpha() else line[0]}{line[1:]}."


def _time_section(shown: _Shown, pictures: dict[str, bytes]) -> str:
    if not shown.spent:
        return ""
    note = "Prices of the latency table, corrected; below, the most expensive operators of each network."
    return (
        "<h2>Where the time goes</h2>"
        + image(pictures, "time", "Predicted latency of each network, part by part")
        + f"<p class=note>{note}</p>"
        + time_table(shown.spent)
    )


def _choices_section(shown: _Shown) -> str:
    front, trials = shown.study.front(), shown.study.context().successful
    if not front:
        return ""
    choices = favours(shown.space, front, trials)
    table = favour_table(choices, len(front), len(trials))
    return f"<h2>What the networks of the front have in common</h2>{table}" if choices else ""


def _summary(run: Run, trials: Sequence[Trial], networks: Sequence[dict[str, Any]]) -> str:
    low_fidelity = sum(trial.low_fidelity for trial in trials)
    failed = sum(not trial.ok for trial in trials)
    text = f"{len(trials) - low_fidelity} architectures evaluated with {run.settings.strategy}"
    text += " to find the best network within the budgets" if run.settings.goal == "best" else ""
    text += f", {low_fidelity} more with the low-fidelity evaluator {run.settings.low_fidelity}" if low_fidelity else ""
    text += f" ({failed} failed)" if failed else ""
    if networks and networks[0]["onnx"]:
        how = measured_or_predicted(networks)
        latencies = [latency_of(n) for n in networks]
        text += (
            f"; {len(networks)} networks delivered, latency {min(latencies):.3g}-{max(latencies):.3g} ms {how}, "
            f"the best at {_best(run, networks)}"
        )
    return text + "."


def _best(run: Run, networks: Sequence[dict[str, Any]]) -> str:
    budgets = run.settings.budgets
    over = not any(keeps(network, budgets) for network in networks)
    best = pick_network(networks, "best", budgets, allow_over_budget=over)
    return f"{written_compared(best)}, test {metric_of(best).text} {written_test(best)}"


def _explanation(run: Run, networks: Sequence[dict[str, Any]]) -> str:
    if any(n["onnx"] for n in networks):
        measured = any(n["latency_ms"]["measured"] is not None for n in networks)
        latency = "Latency was measured with the same file on this device" if measured else "Latency was not measured"
        metric = metric_of(networks[0])
        name = escape(metric.text)
        error = f"one standard error of {name}, from the number of samples, and " if metric.uncertainty else ""
        return (
            f"Test {name} is measured with the ONNX file on the test part, which the search never used. "
            f"Networks are picked by their value on the validation part and their latency, never by the test part. "
            f"± is {error}"
            "half the range in which nine of ten later measurements of a latency lie. "
            f"{latency}; the prediction interval comes from the latency table. Peak memory is the largest sum of "
            "activations that exist at the same time, computed from the graph; the arena is what ONNX Runtime "
            "allocates for them. ROM is the bytes of the weights as the file stores them."
            f"{final_training(run.settings)}"
        )
    measured = any(n["latency_ms"]["measured"] is not None for n in networks)
    how = "networks were measured with random weights, on which latency does not depend"
    if run.settings.evaluator.startswith("table:"):
        nothing = f"nothing was trained or exported; {how}" if measured else "nothing was trained, exported or measured"
        return f"Values were looked up in a benchmark table; {nothing}."
    evaluator = escape(run.settings.evaluator)
    return f"Evaluator {evaluator} has no weights to export; {how if measured else 'no network was measured'}."


def _table_section(run: Run, table: LatencyTable | None, networks: Sequence[dict[str, Any]]) -> str:
    lines = []
    if table is not None and is_elsewhere(table, run.settings):
        lines.append(f"{elsewhere_line(table)}.")
    if (line := agreement(networks, stored=True)) is not None:
        lines.append(f"Delivered networks: {line}.")
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
        "<p class=note>LaMOO splits the space into regions by what it learned from all trials "
        f"({len(partition.summary.nodes)} in all). The table shows the regions on the path to the one that it would "
        "sample next, and their siblings. The share of the space is the share of untried candidates in the region "
        "(in large spaces estimated from random candidates).</p>"
        + image(pictures, "partition", "The tree of regions, and the trials by region")
        + f"<div class=wide><table><tr>{''.join(f'<th>{escape(name)}</th>' for name in heads)}{cells}</table></div>"
    )


def _facts(facts: dict[str, Any]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd>" for name, value in facts.items())
    return f"<dl>{rows}</dl>"


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value not in (None, {}, [])}


def _text(value: object) -> str:
    if isinstance(value, dict) and isinstance(value.get("declaration"), dict):  # of a declared space: pages long
        value = {**value, "declaration": value["declaration"].get("name")}
    if isinstance(value, dict) and isinstance(value.get("graph"), dict):  # of a derived space
        value = {**value, "graph": f"{len(value['graph'].get('nodes', ()))} nodes"}
    return value if isinstance(value, str) else json.dumps(value)
