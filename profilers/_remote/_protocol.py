"""What both ends of a connection to a device say: one line of JSON a message, raw bytes behind it where it states them.

A message that holds ``"bytes": n`` is followed by n bytes. The end of the stream inside a message is a torn message.
Runs on devices, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from latency_tables import strict_json

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
    """Cuts a stream into messages.

    Args:
        most_line: bytes of the longest line that is taken.
        most_payload: bytes of the largest payload that is taken; none by default.

    Both limits may be set anew before each answer.
    """

    def __init__(self, most_line: int = MOST_LINE, most_payload: int = 0) -> None:
        self.most_line, self.most_payload = most_line, most_payload
        self._buffer = bytearray()
        self._scanned = 0
        self._waiting: tuple[Message, int] | None = None

    @property
    def torn(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer) or self._waiting is not None

    @property
    def in_payload(self) -> bool:
        """Whether a payload has begun and not ended."""
        return self._waiting is not None

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        self._buffer += data

    def next(self) -> tuple[Message, bytes] | None:
        """The next whole message and its payload; None until there is one.

        Raises:
            ProtocolError: what was read is no message, or more than is taken.
        """
        if self._waiting is None:
            line = self.line()
            if line is None:
                return None
            self._waiting = self._parse(line)
        message, size = self._waiting
        if len(self._buffer) < size:
            return None
        with memoryview(self._buffer) as view:
            payload = bytes(view[:size])
        del self._buffer[:size]
        self._waiting = None
        return message, payload

    def line(self) -> bytes | None:
        """The next whole line without its end; None until there is one.

        Raises:
            ProtocolError: it is longer than any message.
        """
        end = self._buffer.find(b"\n", self._scanned)
        if max(end, len(self._buffer) if end < 0 else 0) > self.most_line:
            raise ProtocolError("a line without end")
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        found = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        return found

    def _parse(self, line: bytes) -> tuple[Message, int]:
        try:
            message = strict_json(line)
        except ValueError:
            raise ProtocolError(f"{line[:40]!r} is no message") from None
        size = message.pop("bytes", 0) if isinstance(message, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ProtocolError(f"{line[:40]!r} is no message")
        if size > self.most_payload:
            raise ProtocolError(f"{size} bytes that nobody asked for")
        return message, size
