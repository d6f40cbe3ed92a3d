"""The models that a device stores, by the hash of their content. Runs on devices."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import time
from pathlib import Path

from latency_tables import is_private, read_regular, write_atomic

KEPT_BYTES = 2**31
"""Bytes beyond which models are removed, the longest unused first."""
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_STALE_SECONDS = 3600.0


def digest_of(content: bytes) -> str:
    """Return the name of a model: the SHA-256 hash of its content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def require_digest(digest: object) -> str:
    """Return a digest that was checked to be a possible name of a model.

    Raises:
        ValueError: It is not a digest.
    """
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise ValueError("a model must be named by its SHA-256 hash")
    return digest


class ModelStore:
    """A folder of models. A file is used only where its content has the hash that it is named by.

    Args:
        folder: The folder; created where absent.
        most: Most bytes of all models.

    Raises:
        OSError: The folder cannot be made, or other users may write into it.
    """

    def __init__(self, folder: Path, most: int = KEPT_BYTES) -> None:
        self._folder, self._most = folder, most
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_ISDIR(folder.lstat().st_mode):
            with contextlib.suppress(OSError):
                folder.chmod(0o700)
        if not stat.S_ISDIR(folder.lstat().st_mode) or not is_private(folder.lstat()):
            raise OSError(
                errno.EPERM,
                "the folder does not belong to this user alone; remove it with `hwnas device clean`",
                str(folder),
            )
        for torn in folder.glob("*.partial"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - torn.stat().st_mtime > _STALE_SECONDS:
                    torn.unlink()

    def path(self, digest: str) -> Path | None:
        """Return the file of a model; None where there is none. A file with another content is removed.

        Raises:
            ValueError: `digest` is not a digest.
        """
        path = self._folder / f"{require_digest(digest)}.onnx"
        try:
            if is_private(path.lstat()) and not path.is_symlink() and digest_of(read_regular(path)) == digest:
                os.utime(path)
                return path
        except FileNotFoundError:
            return None
        except OSError:  # a folder, a pipe, an unreadable place on a broken disk
            pass
        path.unlink(missing_ok=True)
        return None

    def put(self, digest: str, content: bytes) -> None:
        """Store a model.

        Raises:
            ValueError: The content does not have this hash.
            OSError: The file cannot be written; no part of it is left.
        """
        if self.path(digest) is not None:
            return
        if digest_of(content) != digest:
            raise ValueError("the model was damaged in transfer")
        self._make_room(len(content))
        write_atomic(self._folder / f"{digest}.onnx", content)

    def _make_room(self, size: int) -> None:
        """Remove the longest unused models until `size` more bytes may be stored."""
        files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*.onnx"))
        kept = size + sum(length for _, length, _ in files)
        for _, length, path in files:
            if kept <= self._most:
                return
            path.unlink(missing_ok=True)
            kept -= length
