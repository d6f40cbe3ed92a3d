"""The models that a device keeps, by the hash of their content. Runs on devices."""

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
"""Models beyond so much are removed, the longest unused first."""
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_STALE_SECONDS = 3600.0


def digest_of(content: bytes) -> str:
    """What a model is called."""
    return hashlib.sha256(content).hexdigest()


def require_digest(digest: object) -> str:
    """What can be the name of a model.

    Raises:
        ValueError: it is no digest.
    """
    if not isinstance(digest, str) or not _DIGEST.match(digest):
        raise ValueError("that is no digest of a model")
    return digest


class ModelStore:
    """A folder of models. What lies in it is believed only where its content has the hash that it is named by.

    Args:
        folder: made where absent.
        most: bytes to keep.

    Raises:
        OSError: it cannot be made, or others may write into it.
    """

    def __init__(self, folder: Path, most: int = KEPT_BYTES) -> None:
        self._folder, self._most = folder, most
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_ISDIR(folder.lstat().st_mode):
            with contextlib.suppress(OSError):
                folder.chmod(0o700)
        if not stat.S_ISDIR(folder.lstat().st_mode) or not is_private(folder.lstat()):
            raise OSError(errno.EPERM, "it is not this user's own folder; `hwnas device clean` it", str(folder))
        for torn in folder.glob("*.partial"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - torn.stat().st_mtime > _STALE_SECONDS:
                    torn.unlink()

    def path(self, digest: str) -> Path | None:
        """The file of a model; None where it is not here. A file that is not what it is named by is removed.

        Raises:
            ValueError: that is no digest.
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
        write_atomic(self._folder / f"{digest}.onnx", content)

    def _make_room(self, size: int) -> None:
        files = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*.onnx"))
        kept = size + sum(length for _, length, _ in files)
        for _, length, path in files:
            if kept <= self._most:
                return
            path.unlink(missing_ok=True)
            kept -= length
