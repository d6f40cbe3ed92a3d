"""`whole_model`: a file with its external data in one piece."""

from __future__ import annotations

from pathlib import Path

from profilers._errors import ModelFileError
from profilers._read._file import load_whole
from profilers._read._limits import MAX_BYTES


def whole_model(source: Path | str, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return an ONNX file as one piece: weights that lie in files beside it are put into it.

    A file without external data is returned as it is, byte for byte.

    Args:
        source: The file.
        max_bytes: Most bytes of the file with its external data.

    Raises:
        ModelFileError: The file or its external data cannot be read, are damaged or too large.
    """
    path = Path(source)
    try:
        return load_whole(path, max_bytes)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
