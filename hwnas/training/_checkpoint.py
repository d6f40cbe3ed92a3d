"""Checkpoints: plain tensors and numbers, written atomically, read without running code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hwnas._errors import EvaluatorError
from latency_tables import write_atomic

FORMAT = 1


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or as it was before.

    Raises:
        EvaluatorError: the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise EvaluatorError(f"checkpoint {path}: cannot be written ({error.strerror})") from None


def save_checkpoint(path: Path, identity: Mapping[str, object], state: Mapping[str, object]) -> None:
    """Write `state` (tensors, numbers, text, lists and dicts of them) with the settings that it belongs to.

    Raises:
        EvaluatorError: the file cannot be written.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "identity": dict(identity), "state": dict(state)}, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path, identity: Mapping[str, object], device: str = "cpu") -> dict[str, Any] | None:
    """The state of a checkpoint with the same settings; None where there is no file.

    Raises:
        EvaluatorError: the file is damaged, or belongs to other settings (the first that differs is named).
    """
    if not path.exists():
        return None
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
        found, state, version = stored["identity"], stored["state"], stored["format"]
    except (
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ):
        raise EvaluatorError(f"checkpoint {path}: damaged or none; remove it to train again") from None
    if version != FORMAT:
        raise EvaluatorError(f"checkpoint {path}: of format {version}, not {FORMAT}; remove it to train again")
    for key in identity:
        if found.get(key) != identity[key]:
            raise EvaluatorError(
                f"checkpoint {path}: belongs to {key} {found.get(key)}, not {identity[key]}; "
                "use another folder or remove it to train again"
            )
    return dict(state)
