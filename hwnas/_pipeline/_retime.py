"""The delivered networks of a run timed again, at any later time, at the speed that the table of the run refers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwnas._devices._make import make_backend
from hwnas._errors import RunError
from hwnas._pipeline._reference_tails import read_tails
from hwnas._pipeline._setup_table import TABLE
from hwnas._pipeline._time_networks import Loader, TimedNetwork, time_networks
from hwnas._runs._entries import file_of_run
from hwnas._runs._run import Run
from hwnas._tables._validate import table_references
from hwnas.spaces import Space, input_channels, make_space
from latency_tables import load_table
from profilers import Backend, ReferenceTimer, TextProgress, executed_graph, fusion_of


def retime_run(
    path: Path,
    *,
    seed: int = 0,
    backend: Backend | None = None,
    space: Space | None = None,
    progress: TextProgress = lambda text: None,
) -> dict[str, TimedNetwork]:
    """Time the delivered networks of a run again, beside the references of its table.

    ONNX files are timed where the run has them, else networks with random weights. The run is not changed.

    Args:
        path: The run directory.
        seed: Seeds the orders in which networks are loaded and timed.
        backend: What measures; None for what the run's settings name.
        space: The run's space; None for the one that the run names.
        progress: Receives progress lines.

    Returns:
        Times by id.

    Raises:
        RunError: The run has no networks, no latency table, or a damaged file.
        IdentityMismatchError: The table is another device's.
    """
    run = Run.open(path)
    networks = run.pareto()
    if not (path / TABLE).exists():
        raise RunError(f"{path} has no {TABLE}: without it, the speed of the machine is not known")
    table = load_table(path / TABLE)
    space = space or space_of_run(run)
    backend = backend or make_backend(**run.settings.measuring, image_channels=input_channels(space), progress=progress)
    table.require_identity(backend.identity())
    references = table_references(table, space)
    timer = ReferenceTimer(backend, replace(references, tails=references.tails or read_tails(path) or {}))
    progress(f"measuring {len(networks)} networks of {path} again")
    own_files = not run.settings.device.startswith("cuda")  # a GPU executes graphs, not ONNX files
    loaders = {network["id"]: _loader(path, network, space, backend, own_files) for network in networks}
    total_ms = sum(network["latency_ms"]["predicted"] or 0.0 for network in networks)
    total_ms += sum(reference.then_ms for reference in references.networks)
    return time_networks(timer, loaders, total_ms=total_ms, seed=seed, progress=progress)[0]


def space_of_run(run: Run) -> Space:
    """Return the space of a run's networks, which need not be that of its table.

    Raises:
        SpaceError: This version does not know it.
    """
    identity = run.identity.get("space")
    settings: dict[str, Any] = dict(identity) if isinstance(identity, Mapping) else {}
    settings.pop("fingerprint", None)  # of a space that is not ours
    return make_space(str(settings.pop("name", run.settings.space)), **settings)


def _loader(path: Path, network: Mapping[str, Any], space: Space, backend: Backend, own_files: bool) -> Loader:
    """Return what loads a network of a run, from its ONNX file where it has one that the backend executes."""
    graph = executed_graph(space.graph(space.parse(network["arch"])), fusion_of(backend))
    if network["onnx"] is None or not own_files:
        return lambda seed: backend.load(graph, seed=seed)
    file = file_of_run(path, network["onnx"])
    return lambda seed: backend.load_trained(graph, {}, str(file))
