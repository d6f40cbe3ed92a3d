"""What became of searches: `runs`, `compare` and `export`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwnas._deploy import write_folder
from hwnas._errors import HwnasError
from hwnas._runs._compare import Comparison, compare_runs
from hwnas._runs._delivered import described
from hwnas._runs._device_runs import device_runs
from hwnas._runs._entries import read_network
from hwnas._runs._front import pick_network, settled_pick, usual_pick
from hwnas._runs._list import RunInfo, find_runs
from hwnas._runs._run import Run
from latency_tables import write_atomic


def runs(folder: str | Path = "runs") -> list[RunInfo]:
    """List the runs in a folder, as ``hwnas runs`` does; damaged ones say why.

    Args:
        folder: Folder to search, with all its subfolders.

    Raises:
        HwnasError: There is no such folder.
    """
    return find_runs(Path(folder))


def compare(runs: Sequence[str | Path], *, out: str | Path | None = None) -> Comparison:
    """Compare the fronts of several runs on one scale, as ``hwnas compare`` does.

    Args:
        runs: Two run directories or more, with the same objectives.
        out: Picture to write: a ``.png`` file, or an ``.html`` page with the table; None for none.

    Raises:
        HwnasError: A run cannot be read or has no trials, the objectives differ, or `out` cannot be written.
    """
    comparison = compare_runs([Path(run) for run in runs])
    if out is not None:
        from hwnas._report import write_comparison

        write_comparison(comparison, Path(out))
    return comparison


@dataclass(frozen=True)
class Exported:
    """A network that was copied out of a run.

    Attributes:
        path: The ONNX file; the one of `out` where there are two.
        network: Its entry of ``pareto.json``.
        text: What it is: how good, how fast, and what must be known before it is used.
    """

    path: Path
    network: Mapping[str, Any]
    text: str


def export(
    run: str | Path,
    *,
    pick: str | None = None,
    allow_over_budget: bool = False,
    deploy: str | Path | None = None,
    out: str | Path | None = None,
) -> Exported:
    """Copy one network of a run, as ``hwnas export`` does.

    Args:
        run: The run directory.
        pick: ``"fastest"``, ``"knee"``, ``"best"`` or an id; None for ``"best"`` where a budget limits the latency or
            what the search minimises, or the search had that goal, else ``"knee"``. A front without a knee gives its
            best.
        allow_over_budget: Whether a network may also be one that exceeds a budget.
        deploy: Folder to write that deploys the network: the ONNX file, ``predict.py``, what it needs and a page about
            it; None for none.
        out: ONNX file to write, or a folder for it; None for ``ID.onnx`` in the current folder, or for no other file
            than those in `deploy`.

    Raises:
        HwnasError: There is no such run or network, the run has no ONNX files, or `out` or `deploy` cannot be
            written.
    """
    opened = Run.open(Path(run))
    if opened.settings.devices:
        folders = ", ".join(str(each.path) for each in device_runs(opened.path, opened.settings.several).values())
        raise HwnasError(f"{run} is a search for several devices; export from the run of one: {folders or 'none yet'}")
    budgets = opened.settings.budgets
    networks = opened.pareto()
    pick = settled_pick(networks, pick or usual_pick(opened.settings), budgets, allow_over_budget=allow_over_budget)
    network = pick_network(networks, pick, budgets, allow_over_budget=allow_over_budget)
    if network["onnx"] is None:
        name, _, table = opened.settings.evaluator.partition(":")
        why = "its values came from a table" if table else f"evaluator {name} has no weights"
        raise HwnasError(f"{run} has no ONNX files: {why}")
    content = read_network(opened.path, network)
    target = write_folder(opened, network, pick, Path(deploy)) if deploy is not None else None
    if out is not None or target is None:
        target = _write(out, f"{network['id']}.onnx", content)
    return Exported(target, network, described(network, budgets))


def _write(out: str | Path | None, name: str, content: bytes) -> Path:
    """Write a file called `name` into the folder `out` (made where that ends in a slash), or as the file `out`.

    Raises:
        HwnasError: It cannot be written.
    """
    target = Path(out or name)
    makes_folder = out is not None and str(out).endswith("/")
    if out and (makes_folder or target.is_dir()):
        target /= name
    try:
        if makes_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)
    except OSError as error:
        raise HwnasError(f"cannot write {target}: {error.strerror}; choose another -o") from None
    return target
