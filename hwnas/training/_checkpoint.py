"""Checkpoints: plain tensors and numbers, written atomically, read without running code."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hwnas._errors import EvaluatorError
from latency_tables import write_atomic

FORMAT = 2
"""Version 1 had no hash; it is still read."""
_LATER = ("wiring",)
"""What checkpoints of earlier versions do not say that they belong to."""
_MOST_SHOWN, _BEFORE = 70, 25
"""Characters of a value that an error shows, and those of them before the first difference."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is either whole or as it was before.

    Raises:
        EvaluatorError: The folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, data)
    except OSError as error:
        raise EvaluatorError(f"checkpoint {path}: cannot be written ({error.strerror})") from None


def content_digest(content: object) -> str:
    """Return the SHA-256 (hexadecimal) of tensors, numbers, text, lists and mappings: types, shapes and every bit."""
    digest = hashlib.sha256()
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, value: object) -> None:
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"tensor {plain.dtype} {tuple(plain.shape)} ".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)} ".encode())
        for key, item in value.items():
            _feed(digest, key)
            _feed(digest, item)
    elif isinstance(value, (list, tuple)):
        digest.update(f"sequence {len(value)} ".encode())
        for item in value:
            _feed(digest, item)
    else:
        text = repr(value).encode()
        digest.update(f"{type(value).__name__} {len(text)} ".encode() + text)


def save_checkpoint(path: Path, identity: Mapping[str, object], state: Mapping[str, object]) -> None:
    """Write `state` (tensors, numbers, text, lists and dicts of them) with the settings that it belongs to.

    Raises:
        EvaluatorError: The file cannot be written.
    """
    buffer = io.BytesIO()
    content = {"format": FORMAT, "identity": dict(identity), "state": dict(state)}
    torch.save({**content, "sha256": content_digest(content)}, buffer)
    write_atomically(path, buffer.getvalue())


def load_checkpoint(
    path: Path, identity: Mapping[str, object], device: str = "cpu", *, whole: bool = True
) -> dict[str, Any] | None:
    """Return the state of a checkpoint with the same settings; None where there is no file.

    Args:
        path: The file.
        identity: What it must belong to.
        device: Where its tensors go.
        whole: Whether it may belong to nothing beside that.

    Raises:
        EvaluatorError: The file is damaged, or belongs to other settings (the first that differs is named).
    """
    if not path.exists():
        return None
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
        stored_identity, state, version = stored["identity"], stored["state"], stored["format"]
        fits = stored.pop("sha256", None) == (content_digest(stored) if version == FORMAT else None)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except PermissionError as error:
        raise EvaluatorError(f"checkpoint {path}: cannot be read ({error.strerror})") from None
    except Exception:  # flipped bits make torch and pickle raise all kinds of errors
        raise EvaluatorError(f"checkpoint {path}: damaged; remove it to train again") from None
    if version in (1, FORMAT) and not fits:
        raise EvaluatorError(f"checkpoint {path}: damaged; remove it to train again")
    if version not in (1, FORMAT):
        raise EvaluatorError(
            f"checkpoint {path}: format {version}, this version reads {FORMAT}; remove it to train again"
        )
    for key in (*identity, *(stored_identity if whole else ())):
        before, now = stored_identity.get(key), identity.get(key)
        if before != now and not (key in _LATER and key not in stored_identity):
            raise EvaluatorError(
                f"checkpoint {path}: belongs to {_difference(key, before, now)}; "
                "use another folder or remove it to train again"
            )
    return dict(state)


def _difference(name: str, before: object, now: object) -> str:
    """Return how two values of a setting differ: ``epochs 3, not 4``; of long texts, the places where they begin to."""
    old, new = str(before), str(now)
    alike = (a == b for a, b in zip(old, new, strict=False))
    first = next((i for i, same in enumerate(alike) if not same), min(len(old), len(new)))
    start = max(0, first - _BEFORE) if max(len(old), len(new)) > _MOST_SHOWN else 0
    return f"{name} {_shown(old, start)}, not {_shown(new, start)}"


def _shown(text: str, start: int) -> str:
    cut = text[start : start + _MOST_SHOWN]
    return f"{'...' if start else ''}{cut}{'...' if start + len(cut) < len(text) else ''}"
