"""The runs that deliver for each of several devices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hwnas._runs._record import SETTINGS
from hwnas._runs._run import Run
from hwnas._runs._several import FOLDER, NamedDevice


def is_device_run(out: Path, source: str) -> bool:
    """Return whether a folder is that of the run that delivers for one of the devices of another run, `source`."""
    return out.absolute().parent == Path(source).absolute() / FOLDER


def device_runs(path: Path, devices: Sequence[NamedDevice]) -> dict[str, Run]:
    """Return the runs of the devices of a search, by name; those that delivered nothing yet are left out.

    Args:
        path: The folder of the search.
        devices: Its devices.

    Raises:
        RunError: One is damaged.
    """
    folders = {device.name: path / FOLDER / device.name for device in devices}
    return {name: Run.open(folder) for name, folder in folders.items() if (folder / SETTINGS).exists()}
