"""``settings.json`` of a run: versions, and a hash of its content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas._errors import RunError
from latency_tables import content_hash, read_json, strict_json, write_atomic

SETTINGS, _FORMAT, _HASH = "settings.json", "hwnas-run", "content_hash"
_MOST = 2**24
_VERSION = 2
"""Version 1 had no hashes, neither here nor in the journal."""


def write_record(path: Path, body: Mapping[str, Any]) -> None:
    """Write the settings of the run in folder `path`, atomically.

    Raises:
        RunError: They cannot be written, or could not be read afterwards.
    """
    record = {"format": _FORMAT, "version": _VERSION, **body}
    try:
        text = json.dumps({**record, _HASH: content_hash(record)}, indent=1, allow_nan=False) + "\n"
        strict_json(text)
    except ValueError as error:
        raise RunError(f"the settings of {path} cannot be saved ({error}); use finite numbers and plain text") from None
    try:
        write_atomic(path / SETTINGS, text)
    except OSError as error:
        raise RunError(f"cannot write into {path}: {error.strerror}; choose another --out") from None


def read_record(path: Path) -> dict[str, Any]:
    """Return what `write_record` wrote, with ``"unhashed": True`` where version 1 did.

    Raises:
        RunError: The folder is not a run, or the settings are damaged, changed or of an unknown version.
    """
    file = path / SETTINGS
    try:
        record = read_json(file, _MOST)
    except FileNotFoundError:
        what = f"is not a run of hwnas (no {SETTINGS})" if path.is_dir() else "does not exist"
        raise RunError(f"{path} {what}; choose another folder") from None
    except (OSError, ValueError):
        raise unreadable(path) from None
    parts = [record.get(name) for name in ("settings", "identity")] if isinstance(record, dict) else []
    if not parts or record.get("format") != _FORMAT or not all(isinstance(part, dict) for part in parts):
        raise RunError(f"{path} is not a run of hwnas; choose another folder")
    version = record.get("version")
    if type(version) is not int or version not in (1, _VERSION):
        raise RunError(f"{path} was written by another version of hwnas (run format {version!s:.20})")
    written = record.pop(_HASH, None)
    if written != (content_hash(record) if version == _VERSION else None):
        raise RunError(
            f"{file} was changed after it was written (its content hash does not match); restore it or choose another "
            "folder"
        )
    return {**record, "unhashed": True} if version == 1 else dict(record)


def unreadable(path: Path) -> RunError:
    """Return the error for impossible settings of the run in folder `path`."""
    return RunError(f"{path / SETTINGS} cannot be read; choose another folder")
