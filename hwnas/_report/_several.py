"""The page of a search for several devices: what is delivered for each, and every delivered network on every device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas._common._canvas import NoPictureError, pictures_of
from hwnas._costs._cost import LATENCY
from hwnas._errors import RunError
from hwnas._report._distribution import distribution_plot, distributions_section, picture_name
from hwnas._report._html import escape, page
from hwnas._runs._delivered import written_compared, written_latency, written_test
from hwnas._runs._front import keeps, pick_network, usual_pick
from hwnas._runs._metrics import value_of
from hwnas._runs._run import Run
from hwnas._runs._several import FOLDER
from hwnas._runs._training import one_shot_training
from hwnas.oneshot import TrainingRecord


@dataclass(frozen=True)
class DeviceFront:
    """One device of a search for several.

    Attributes:
        name: Its name.
        run: The run that delivered for it; None where nothing was delivered.
        latency_ms: Latency of the delivered networks on every device by its table, by id and name of the device.
    """

    name: str
    run: Run | None
    latency_ms: Mapping[str, Mapping[str, float]]


def write_devices(run: Run, fronts: Sequence[DeviceFront]) -> None:
    """Write ``report.html`` of a search for several devices and, where matplotlib can draw, the PNG files it shows.

    Args:
        run: The search's run.
        fronts: Its devices.

    Raises:
        RunError: It cannot be written.
    """
    names = [front.name for front in fronts]
    parts = [f"<h1>hwnas: {escape(run.path.name)}</h1>", f"<p>{escape(_summary(run, names))}</p>"]
    parts += [_devices_table(run, fronts)]
    parts += [_front_table(front, names) for front in fronts if front.run is not None]
    parts += [_distributions(run)]
    run.write("report.html", page(run.path.name, "\n".join(parts)))


def _distributions(run: Run) -> str:
    """Return the section about what a one-shot method learned for each device, and write its pictures."""
    training = one_shot_training(run)
    if training is None or not training.devices:
        return ""
    try:
        pictures = pictures_of(lambda: _pictures(training))
    except NoPictureError:
        pictures = {}  # the reports of the devices say why
    for name, data in pictures.items():
        run.write(f"{name}.png", data)
    return distributions_section(training, pictures)


def _pictures(training: TrainingRecord) -> dict[str, bytes]:
    return {picture_name(name): distribution_plot(training.of(name)) for name in training.devices}


def _summary(run: Run, names: Sequence[str]) -> str:
    settings = run.settings
    return (
        f"One search with {settings.strategy} for {len(names)} devices: {', '.join(names)}. All trials have one value "
        "of their metric and a latency by the table of each device; each device has a front of its own."
    )


def _devices_table(run: Run, fronts: Sequence[DeviceFront]) -> str:
    budgets = {device.name: device.latency_budget_ms for device in run.settings.several}
    heads = ("device", "latency budget", "networks", "picked", "", "test", "latency", "")
    rows = []
    for front in fronts:
        upper = budgets[front.name]
        first = [escape(front.name), "none" if upper is None else escape(LATENCY.format(upper))]
        rows.append([*first, *_delivered_cells(front)])
    return f"<h2>Devices</h2>{_table(heads, rows)}"


def _delivered_cells(front: DeviceFront) -> list[str]:
    """Return what was delivered for a device, as cells of HTML."""
    if front.run is None:
        return ["0", "no trial is within the budget", "", "", "", ""]
    networks, settings = front.run.pareto(), front.run.settings
    link = f"<a href='{FOLDER}/{escape(front.name)}/report.html'>report</a>"
    try:
        over = not any(keeps(network, settings.budgets) for network in networks)
        network = pick_network(networks, usual_pick(settings), settings.budgets, allow_over_budget=over)
    except RunError:
        return ["0", "", "", "", "", link]
    tested = written_test(network) if value_of(network, "test") is not None else "-"
    texts = (str(len(networks)), str(network["id"]), written_compared(network), tested, written_latency(network))
    return [*map(escape, texts), link]


def _front_table(front: DeviceFront, names: Sequence[str]) -> str:
    """Return the networks of a device's front, with their latency on every device."""
    assert front.run is not None
    heads = ("id", "", "latency", *(f"on {name}, by its table (ms)" for name in names), "architecture")
    rows = [_cells(network, front, names) for network in front.run.pareto()]
    return f"<h2>Front of {escape(front.name)}</h2><div class=wide>{_table(heads, rows)}</div>"


def _cells(network: Mapping[str, Any], front: DeviceFront, names: Sequence[str]) -> list[str]:
    predicted = [f"{front.latency_ms[network['id']][name]:.4g}" for name in names]
    texts = (str(network["id"]), written_compared(network), written_latency(network), *predicted, str(network["arch"]))
    return [escape(text) for text in texts]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
