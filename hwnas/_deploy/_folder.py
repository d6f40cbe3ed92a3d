"""The folder's files, written into a run at its delivery or anywhere by ``hwnas export``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

from hwnas._deploy._metadata import completed
from hwnas._deploy._texts import expected_json, readme, reads_signals, requirements
from hwnas._errors import HwnasError, RunError
from hwnas._runs._entries import read_network
from hwnas._runs._front import PICKS, pick_network, pick_text, settled_pick, usual_pick
from hwnas._runs._run import Run
from latency_tables import write_atomic
from profilers import TextProgress

FOLDER = "deploy"
"""Its name in a run."""
NETWORK = "network.onnx"
_RECORDINGS = "recordings.py"
"""What reads recordings, where a network reads signals: the file that read them in training."""
_TEXTS = ("expected.json", "requirements.txt", "README.md")
_NAMES = (NETWORK, "predict.py", _RECORDINGS, *_TEXTS)


def deliver_folder(run: Run, progress: TextProgress) -> None:
    """Write ``deploy/`` into a run for the network that `usual_pick` names, after ``pareto.json`` is written.

    A run without ONNX files gets none, and so does one in which no network keeps the budgets; a folder of an earlier
    delivery is removed then.

    Args:
        run: The run.
        progress: Receives lines for people.

    Raises:
        RunError: It cannot be written.
    """
    networks = run.pareto()
    if all(network["onnx"] is None for network in networks):
        _remove(run.path / FOLDER)
        return
    try:
        pick = settled_pick(networks, usual_pick(run.settings), run.settings.budgets)
        network = pick_network(networks, pick, run.settings.budgets)
    except RunError as error:
        _remove(run.path / FOLDER)
        progress(f"no {FOLDER}/: {error}")
        return
    run.folder(FOLDER)
    for name, content in _files(run, network, pick).items():
        run.write(f"{FOLDER}/{name}", content)
    progress(f"{network['id']} is ready to deploy: {run.path / FOLDER} (picked {pick_text(network, pick)})")
    budgets = run.settings.budgets
    other = next(name for name in reversed(PICKS) if settled_pick(networks, name, budgets) != pick)
    progress(f"to deploy another network: hwnas export {shlex.quote(str(run.path))} --pick {other} --deploy FOLDER")


def write_folder(run: Run, network: Mapping[str, Any], pick: str, folder: Path) -> Path:
    """Write a network's folder anywhere; only files of an earlier one of hwnas are replaced.

    Args:
        run: The run that delivered it.
        network: Its entry of ``pareto.json``, with an ONNX file.
        pick: What it was picked by: one of `PICKS`, or its id.
        folder: Made where absent.

    Returns:
        The ONNX file.

    Raises:
        HwnasError: The folder cannot be written, or holds other files of these names.
    """
    files = _files(run, network, pick)
    earlier = all((folder / name).is_file() for name in (NETWORK, "predict.py", _TEXTS[0]))
    taken = sorted(name for name in files if os.path.lexists(folder / name))
    if taken and not earlier:
        raise HwnasError(f"{folder} holds a {taken[0]} that hwnas did not write; choose another --deploy")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(folder / name, content)
    except FileExistsError:
        raise HwnasError(f"{folder} is not a folder; choose another --deploy") from None
    except OSError as error:
        raise HwnasError(f"cannot write into {folder}: {error.strerror}; choose another --deploy") from None
    return folder / NETWORK


def _files(run: Run, network: Mapping[str, Any], pick: str) -> dict[str, str | bytes]:
    """Return the contents of the folder by name."""
    content, metadata = completed(read_network(run.path, network), run.settings)
    texts = (
        expected_json(network, metadata),
        requirements(metadata),
        readme(network, metadata, pick_text(network, pick)),
    )
    return {NETWORK: content, **reader_files(metadata), **dict(zip(_TEXTS, texts, strict=True))}


def reader_files(metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the programs of the folder by name: `predict.py`, and what reads recordings for networks of signals."""
    here = resources.files("hwnas")
    files = {"predict.py": here.joinpath("_deploy", "predict.py").read_bytes()}
    if reads_signals(metadata):
        files[_RECORDINGS] = here.joinpath("data", "_recordings.py").read_bytes()
    return files


def _remove(folder: Path) -> None:
    """Remove what an earlier delivery wrote, and the folder where nothing else is in it."""
    for name in _NAMES:
        with suppress(OSError):
            (folder / name).unlink()
    with suppress(OSError):
        folder.rmdir()
