"""The models that a device keeps, by the hash of their content. Runs on devices."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from pathlib import Path

KEPT_BYTES = 2**31
"""Models beyond so much are removed, the longest unused first."""
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_STALE_SECONDS = 3600.0


def digest_of(content: bytes) -> str:
    """What a model is called."""
    return hashlib.sha256(content).hexdigest()


class ModelStore:
    """A folder of models.

    Args:
        folder: made where absent.
        most: bytes to keep.
    """

    def __init__(self, folder: Path, most: int = KEPT_BYTES) -> None:
        self._folder, self._most = folder, most
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob("*.partial"):
            if time.time() - torn.stat().st_mtime > _STALE_SECONDS:
                torn.unlink()

    def path(self, digest: str) -> Path | None:
        """The file of a model; None where it is not here.

        Raises:
            ValueError: that is no digest.
        """
        if not isinstance(digest, str) or not _DIGEST.match(digest):
            raise ValueError("that is no digest of a model")
        path = self._folder / f"{digest}.onnx"
        if not path.is_file():
            return None
        os.utime(path)
        return path

    def put(self, digest: str, content: bytes) -> None:
        """Keep a model.

        Raises:
            ValueError: the content is another one's.
            OSError: it cannot be written; nothing is left of it.
        """
        if self.path(digest) is not None:
            return
        if digest_of(content) != digest:
            raise ValueError("the model was damaged on its way")
        self._make_room(len(content))
        handle, temporary = tempfile.mkstemp(dir=self._folder, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).replace(self._folder / f"{digest}.onnx")
        except BaseException:
            Path(temporary).unlink()
            raise

    def _make_room(self, size: int) -> None:
        files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*.onnx"))
        kept = size + sum(length for _, length, _ in files)
        for _, length, path in files:
            if kept <= self._most:
                return
            path.unlink()
            kept -= length
