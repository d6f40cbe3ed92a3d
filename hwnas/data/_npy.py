"""Arrays in an ``.npz`` file, a piece at a time: shapes first, and never more than the file can hold."""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from hwnas._common._bounded import PACKED, most_unpacked
from hwnas._errors import DataError
from hwnas.data._names import shown
from latency_tables import open_regular

Array = np.ndarray[Any, np.dtype[Any]]
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What numpy writes; bzip2 and LZMA may take far more memory than the file has."""
_ENCRYPTED = 0x1
_MAGIC, _LONGEST_HEADER, _MOST_AXES = b"\x93NUMPY", 10_000, 8
_TYPE = re.compile(r"['\"]descr['\"]\s*:\s*['\"]([<>|=]?[a-zA-Z][0-9]*)['\"]")
_ORDER = re.compile(r"['\"]fortran_order['\"]\s*:\s*(True|False)")
_SHAPE = re.compile(r"['\"]shape['\"]\s*:\s*\(([0-9L,\s]*)\)")
_PIECE = 2**22
_END, _END_SIZE, _DIRECTORY, _COMMENT = b"PK\x05\x06", 22, 2**22, 2**16
_AGAIN = "write it with numpy.savez"


@dataclass(frozen=True)
class Stored:
    """An array as its header describes it.

    Attributes:
        key: Its name.
        dtype: Type of its values: a number.
        shape: At least one axis.
        fortran: Whether the first axis runs fastest.
    """

    key: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of one index of the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class Npz:
    """An open ``.npz`` file; a context manager.

    Args:
        path: The file.

    Raises:
        DataError: It is not a regular, readable ``.npz`` file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        try:
            with self._one_line(""):
                self._file = open_regular(path)
                self._size = os.fstat(self._file.fileno()).st_size
                self._require_zip(self._file)
                self._zip = zipfile.ZipFile(self._file)
                self._names = [info.filename for info in self._zip.infolist()]
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Npz:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __contains__(self, key: object) -> bool:
        return f"{key}.npy" in self._names

    def require(self, *keys: str) -> None:
        """Refuse a file that lacks an array.

        Raises:
            DataError: Naming it.
        """
        for key in keys:
            if key not in self:
                raise DataError(f"data {shown(self.path)}: the array {key} is missing; add it")

    def stored(self, key: str) -> Stored:
        """Return what the header of an array says.

        Raises:
            DataError: It cannot be read, is packed in another way than numpy's, or is too large for the file.
        """
        name = f"{key}.npy"
        with self._one_line(key):
            info = self._zip.getinfo(name)
            if self._names.count(name) > 1:
                raise DataError(f"data {shown(self.path)}: holds two arrays {key}; {_AGAIN}")
            if info.flag_bits & _ENCRYPTED:
                raise DataError(f"data {shown(self.path)}: its array {key} is encrypted; {_AGAIN}")
            if info.compress_type not in _PACKINGS:
                how = zipfile.compressor_names.get(info.compress_type, f"method {info.compress_type}")  # type: ignore[attr-defined]
                raise DataError(f"data {shown(self.path)}: its array {key} is compressed by {how}; {_AGAIN}")
            if info.file_size > most_unpacked(self._size):
                raise DataError(
                    f"data {shown(self.path)}: its array {key} unpacks to {info.file_size:,} bytes, more than {PACKED} "
                    f"times the file; {_AGAIN}, which does not compress"
                )
            with self._zip.open(info) as member:
                stored, start = _header(key, member)
            if start + stored.shape[0] * stored.row_bytes != info.file_size:
                raise ValueError("its size differs from its header")
            return stored

    def pieces(self, stored: Stored) -> Iterator[tuple[int, Array]]:
        """Yield the array in pieces along its first axis, each with the index of its first row.

        Raises:
            DataError: It is damaged.
        """
        rows = max(1, _PIECE // max(1, stored.row_bytes))
        with self._one_line(stored.key):
            if stored.fortran and len(stored.shape) > 1:
                rows = max(rows, -(-stored.shape[0] // 16))  # each piece reads all of the file
                for first in range(0, stored.shape[0], rows):
                    yield first, self._columns(stored, first, min(rows, stored.shape[0] - first))
                return
            with self._zip.open(f"{stored.key}.npy") as member:
                _header(stored.key, member)
                for first in range(0, stored.shape[0], rows):
                    count = min(rows, stored.shape[0] - first)
                    values = np.frombuffer(_exactly(member, count * stored.row_bytes), stored.dtype)
                    yield first, values.reshape(count, *stored.shape[1:])
                if member.read(1):  # reads to the end, where the checksum is compared
                    raise ValueError("it is longer than its header says")

    def _columns(self, stored: Stored, first: int, count: int) -> Array:
        """Return some rows of an array whose first axis runs fastest."""
        result = np.empty((math.prod(stored.shape[1:]), count), stored.dtype)
        column = stored.shape[0] * stored.dtype.itemsize
        together = max(1, _PIECE // column)
        with self._zip.open(f"{stored.key}.npy") as member:
            _header(stored.key, member)
            for start in range(0, len(result), together):
                some = min(together, len(result) - start)
                values = np.frombuffer(_exactly(member, some * column), stored.dtype).reshape(some, -1)
                result[start : start + some] = values[:, first : first + count]
            if member.read(1):
                raise ValueError("it is longer than its header says")
        return result.reshape(*stored.shape[:0:-1], count).transpose()

    def _require_zip(self, file: BinaryIO) -> None:
        """Refuse what is none, and one whose list of contents would fill the memory.

        Raises:
            DataError: With the reason.
        """
        start = file.read(len(_MAGIC))
        if start == _MAGIC:
            raise DataError(f"data {shown(self.path)}: is a single array (.npy), whatever its name says; {_AGAIN}")
        file.seek(max(0, self._size - _END_SIZE - _COMMENT))
        tail = file.read()
        place = tail.rfind(_END)
        if place < 0 or len(tail) - place < _END_SIZE or struct.unpack_from("<L", tail, place + 12)[0] > _DIRECTORY:
            raise ValueError("not a zip file, or one with far too many entries")
        file.seek(0)

    @contextmanager
    def _one_line(self, key: str) -> Iterator[None]:
        """Raise `DataError` for everything that damaged bytes make the library raise."""
        try:
            yield
        except (
            OSError,
            ValueError,
            EOFError,
            LookupError,
            NotImplementedError,
            RuntimeError,
            TypeError,
            OverflowError,
            AssertionError,
            struct.error,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            if isinstance(error, DataError):
                raise
            what = f"its array {key} cannot be read (damaged, or Python objects)"
            what = what if key else "is not a readable .npz file"
            raise DataError(f"data {shown(self.path)}: {what}; {_AGAIN}") from None


def _header(key: str, member: IO[bytes]) -> tuple[Stored, int]:
    """Return the description of an array and the number of bytes that it takes; never evaluated."""
    start = _exactly(member, 8)
    if start[:6] != _MAGIC or start[6] not in (1, 2, 3):
        raise ValueError("not a numpy array")
    size = struct.Struct("<H" if start[6] == 1 else "<I")
    (length,) = size.unpack(_exactly(member, size.size))
    if length > _LONGEST_HEADER:
        raise ValueError("a header that is too long")
    text = _exactly(member, length).decode("utf-8" if start[6] == 3 else "latin-1")
    kind, order, axes = (pattern.search(text) for pattern in (_TYPE, _ORDER, _SHAPE))
    if kind is None or order is None or axes is None:
        raise ValueError("not a header of a numeric array")
    dtype = np.dtype(kind[1])
    shape = tuple(int(axis.strip().rstrip("L")) for axis in axes[1].split(",") if axis.strip())
    if dtype.kind not in "biuf" or not 1 <= len(shape) <= _MOST_AXES or any(axis >= 2**48 for axis in shape):
        raise ValueError("not a numeric array")
    return Stored(key, dtype, shape, order[1] == "True"), len(start) + size.size + length


def _exactly(member: IO[bytes], count: int) -> bytes:
    data = member.read(count)
    if len(data) == count:
        return data
    whole = io.BytesIO()
    whole.write(data)
    while data and whole.tell() < count:  # a member gives less than asked at the end of what is packed together
        data = member.read(count - whole.tell())
        whole.write(data)
    if whole.tell() != count:
        raise EOFError("cut off")
    return whole.getvalue()
