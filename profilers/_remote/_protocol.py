"""What both ends of a connection to a device say: one line of JSON a message, raw bytes behind it where it states them.

A message that holds ``"bytes": n`` is followed by n bytes. The end of the stream inside a message is a torn message.
Runs on devices, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

GREETING = b'{"hwnas-runner": '
"""How the first line of a runner begins: whatever a login shell prints before it is skipped."""
VERSION = 1
MOST_LINE = 2**24
MOST_PAYLOAD = 2**31
Message = dict[str, Any]


class ProtocolError(Exception):
    """The other end says what is no message."""


def encode(message: Mapping[str, object], payload: bytes = b"") -> bytes:
    """A message and its payload as they are sent."""
    stated = {**message, "bytes": len(payload)} if payload else message
    return json.dumps(stated, allow_nan=False).encode("ascii") + b"\n" + payload


class Decoder:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._waiting: tuple[Message, int] | None = None

    @property
    def torn(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer) or self._waiting is not None

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._buffer += data

    def next(self) -> tuple[Message, bytes] | None:
        """The next whole message and its payload; None until there is one.

        Raises:
            ProtocolError: what was read is no message.
        """
        if self._waiting is None:
            line = self.line()
            if line is None:
                return None
            self._waiting = _parse(line)
        message, size = self._waiting
        if len(self._buffer) < size:
            return None
        payload = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._waiting = None
        return message, payload

    def line(self) -> bytes | None:
        """The next whole line without its end; None until there is one.

        Raises:
            ProtocolError: it is longer than any message.
        """
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._scanned > MOST_LINE:
                raise ProtocolError("a line without end")
            return None
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        return found


def _parse(line: bytes) -> tuple[Message, int]:
    try:
        message = json.loads(line.decode("ascii"))
    except ValueError:
        raise ProtocolError(f"{line[:40]!r} is no message") from None
    size = message.pop("bytes", 0) if isinstance(message, dict) else None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MOST_PAYLOAD:
        raise ProtocolError(f"{line[:40]!r} is no message")
    return message, size
