"""``trackers.json``: by what a run finds its records in other tools again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas._errors import RunError
from hwnas._runs._run import Run
from latency_tables import read_json

TRACKERS = "trackers.json"
_MOST = 2**20


def run_key(run: Run) -> str:
    """Return a random name of the run that stays the same, wherever its folder goes.

    Raises:
        RunError: It cannot be read or written.
    """
    kept = _read(run.path)
    if "key" not in kept:
        kept = {**kept, "key": secrets.token_hex(8)}
        _write(run, kept)
    return str(kept["key"])


def kept_for(run: Run, tool: str) -> Mapping[str, str]:
    """Return what was kept for a tool; empty where nothing was.

    Raises:
        RunError: The file is damaged.
    """
    mine = _read(run.path).get(tool, {})
    if not isinstance(mine, dict) or not all(isinstance(value, str) for value in mine.values()):
        raise _damaged(run.path)
    return mine


def keep_for(run: Run, tool: str, facts: Mapping[str, str]) -> None:
    """Keep something for a tool, in place of what was kept for it.

    Raises:
        RunError: It cannot be written, or the file is damaged.
    """
    _write(run, {**_read(run.path), tool: dict(facts)})


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = read_json(path / TRACKERS, _MOST)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise _damaged(path) from None
    if not isinstance(kept, dict) or not isinstance(kept.get("key", ""), str):
        raise _damaged(path)
    return kept


def _write(run: Run, kept: Mapping[str, Any]) -> None:
    run.write(TRACKERS, json.dumps(kept, indent=1) + "\n")


def _damaged(path: Path) -> RunError:
    return RunError(f"{path / TRACKERS} is damaged; remove it, and the search is logged anew")
