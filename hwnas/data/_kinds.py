"""Kinds of files that samples are read from, by their suffixes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hwnas.data._recordings import CSV_SUFFIXES, WAV_SUFFIXES


@dataclass(frozen=True)
class Files:
    """A kind of files that samples are read from.

    Attributes:
        one: What a file is called: ``image``.
        many: Several of them: ``images``.
        suffixes: Ends of their names, in lower case.
        advice: What to do with files of other kinds.
        nested: Whether folders in class folders mean something; a note mentions them otherwise.
    """

    one: str
    many: str
    suffixes: frozenset[str]
    advice: str
    nested: bool = False

    def count(self, number: int) -> str:
        """Return a number of them in words."""
        return f"{number} {self.one if number == 1 else self.many}"


IMAGES = Files(
    "image",
    "images",
    frozenset(
        {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
    ),
    "convert images to PNG or JPEG",
)
FRAMES = replace(IMAGES, nested=True)
"""Frames of clips, each clip in a folder of its own."""
VIDEOS = Files(
    "video file",
    "video files",
    frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}),
    "extract frames as PNG",
)
"""Not read: they are recognised so that the refusal can say what to do."""
WAVS = Files("WAV file", "WAV files", WAV_SUFFIXES, "convert recordings to WAV")
TABLES = Files("CSV file", "CSV files", CSV_SUFFIXES, "convert recordings to CSV")
