"""The protocol of a connection to a device: messages are lines of JSON, some followed by raw bytes.

A message that holds ``"bytes": n`` is followed by n bytes. A message is torn where the stream ends inside it. Runs on
devices, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from latency_tables import strict_json

GREETING = b'{"hwnas-runner": '
"""Beginning of a runner's first line; what a login shell prints before it is skipped."""
VERSION = 1
MOST_LINE = 2**24
MOST_PAYLOAD = 2**31
Message = dict[str, Any]


class ProtocolError(Exception):
    """The other end sent something that is not a message."""


def encode(message: Mapping[str, object], payload: bytes = b"") -> bytes:
    """Return the bytes of a message and its payload."""
    stated = {**message, "bytes": len(payload)} if payload else message
    return json.dumps(stated, allow_nan=False).encode("ascii") + b"\n" + payload


class Decoder:
    """Splits a stream into messages.

    Both limits may be changed before each answer.

    Args:
        most_line: Most bytes of a line.
        most_payload: Most bytes of a payload; by default, none is accepted.
    """

    def __init__(self, most_line: int = MOST_LINE, most_payload: int = 0) -> None:
        self.most_line, self.most_payload = most_line, most_payload
        self._buffer = bytearray()
        self._scanned = 0
        self._waiting: tuple[Message, int] | None = None

    @property
    def torn(self) -> bool:
        """Whether a message has begun but not ended."""
        return bool(self._buffer) or self._waiting is not None

    @property
    def in_payload(self) -> bool:
        """Whether a payload has begun but not ended."""
        return self._waiting is not None

    def feed(self, data: bytes) -> None:
        """Append data that was read."""
        self._buffer += data

    def next(self) -> tuple[Message, bytes] | None:
        """Return the next complete message and its payload; None until there is one.

        Raises:
            ProtocolError: The data is not a message, or longer than the limits.
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
        """Return the next complete line without its end; None until there is one.

        Raises:
            ProtocolError: It is longer than the limit.
        """
        end = self._buffer.find(b"\n", self._scanned)
        if max(end, len(self._buffer) if end < 0 else 0) > self.most_line:
            raise ProtocolError(f"a line is longer than {self.most_line} bytes")
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        return line

    def _parse(self, line: bytes) -> tuple[Message, int]:
        """Return the message of a line and the size of its payload.

        Raises:
            ProtocolError: The line is not a message, or the payload is too large.
        """
        try:
            message = strict_json(line)
        except ValueError:
            raise ProtocolError(f"{line[:40]!r} is not a message") from None
        size = message.pop("bytes", 0) if isinstance(message, dict) else None
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ProtocolError(f"{line[:40]!r} is not a message")
        if size > self.most_payload:
            raise ProtocolError(f"a payload of {size} bytes, but at most {self.most_payload} were requested")
        return message, size
