"""Trials as event files of TensorBoard, in the folder ``tensorboard`` of the run."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hwnas._common._pace import Pace
from hwnas._common._text import printable
from hwnas._errors import RunError
from hwnas._runs._entries import file_of_run
from hwnas._trackers._base import MARK, Logged, Tracker, scalars
from hwnas._trackers._calls import calls
from latency_tables import append_bytes, read_regular

FOLDER = "tensorboard"
_BEGINS = "brain.Event:2"
"""How the first event of a file states its format."""
_LARGEST_PNG = 2**25


class TensorBoardTracker(Tracker):
    """Writes curves over the trials' numbers, the architectures as text, and at last the picture of the front.

    Each session of a search writes a file of its own, and all that it logs of a trial is one event: a killed search
    leaves a trial whole or not at all. The events are written here rather than by a `SummaryWriter`, whose thread
    notices a full disk too late to say so, and which needs torch.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        super().__init__("tensorboard", pace)
        self._file: Path | None = None

    def _open(self) -> None:
        name = f"events.out.tfevents.{time.time():017.6f}.{socket.gethostname()}.{os.getpid()}.hwnas"
        self._file = self.search.run.folder(FOLDER) / name

    def _logged(self) -> Iterable[int]:
        with calls("tensorboard"):
            return list(_logged_steps(self.search.run.folder(FOLDER)))

    def _log(self, trials: Sequence[Logged]) -> None:
        with calls("tensorboard"):
            self._write(self._event(logged) for logged in trials)

    def _event(self, logged: Logged) -> Any:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb
        from tensorboard.plugins.text.summary_v2 import text_pb

        summaries = [scalar_pb(tag, value) for tag, value in scalars(logged, self.search).items()]
        summaries.append(text_pb("trial/arch", _code(logged.record.arch)))
        if logged.record.failed is not None:
            summaries.append(text_pb("trial/why_it_failed", _code(logged.record.failed)))
        return _summary_event(summaries, logged.record.number)

    def _finish(self, finished: bool) -> None:
        """Add the picture of the front that the report shows, where there is one."""
        try:
            png = read_regular(file_of_run(self.search.run.path, "front.png"), _LARGEST_PNG)
        except (OSError, RunError):
            return
        if finished:
            with calls("tensorboard"):
                self._write([_picture_event(png, max((record.number for record in self.search.records), default=0))])

    def _write(self, events: Iterable[Any]) -> None:
        """Append events to this session's file, all at once."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        assert self._file is not None
        buffer = io.BytesIO()
        writer = RecordWriter(buffer)
        if not self._file.exists():
            writer.write(Event(wall_time=time.time(), file_version=_BEGINS).SerializeToString())
        for event in events:
            writer.write(event.SerializeToString())
        append_bytes(self._file, buffer.getvalue())


def _logged_steps(folder: Path) -> Iterator[int]:
    """Yield the numbers of the trials in the event files of a folder; torn events at their ends do not count."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for file in sorted(folder.iterdir()):
        if "tfevents" in file.name and file.is_file():
            for event in LegacyEventFileLoader(str(file)).Load():
                if any(value.tag == MARK for value in event.summary.value):
                    yield event.step


def _summary_event(summaries: Iterable[Any], step: int) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    event = Event(wall_time=time.time(), step=step)
    for summary in summaries:
        event.summary.value.extend(summary.value)
    return event


def _picture_event(png: bytes, step: int) -> Any:
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    with Image.open(io.BytesIO(png)) as image:
        width, height = image.size
    summary = Summary()
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
    summary.value.add(tag="front", image=picture)
    return _summary_event([summary], step)


def _code(text: str) -> str:
    """Return a text as code in Markdown, which TensorBoard shows texts as."""
    return f"`{printable(text).replace('`', chr(39))}`"
