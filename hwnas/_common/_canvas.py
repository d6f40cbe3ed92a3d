"""Where pictures are drawn: matplotlib's Agg canvas and its own defaults, whatever the user's settings of it say."""

from __future__ import annotations

import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from hwnas._common._text import printable
from hwnas._errors import HwnasError

GREY, BLUE, ORANGE = "#9aa5b1", "#1f5f99", "#d9741a"
NEEDED = "install hwnas[report] for pictures"


class NoPictureError(HwnasError):
    """matplotlib is not installed, or cannot draw here."""


def pictures_of(draw: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """Return the pictures that `draw` draws, with literal names (no TeX) and without matplotlib's warnings.

    Raises:
        NoPictureError: Matplotlib is not installed, or cannot draw here.
    """
    if find_spec("matplotlib") is None:
        raise NoPictureError(f"matplotlib is not installed; {NEEDED}")
    try:
        matplotlib = _matplotlib()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # glyphs that the font lacks, say
            plain = {
                name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")
            }
            with matplotlib.rc_context({**plain, "text.parse_math": False}):
                return draw()
    except Exception as error:  # a broken installation raises anything; a finished search must not be lost for it
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise NoPictureError(f"matplotlib cannot draw here ({what}); {NEEDED}") from error


def _matplotlib() -> Any:
    """Import matplotlib without MPLBACKEND, since it rejects backends that it does not know (a notebook's)."""
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        return importlib.import_module("matplotlib")
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def make_figure(columns: int = 1, size: tuple[float, float] | None = None) -> tuple[Any, Any]:
    """Return a figure in the report's style, and its axes: one, or an array of them.

    Args:
        columns: How many axes, side by side.
        size: Width and height in inches; None for the usual one.
    """
    from matplotlib.figure import Figure

    usual = (6.4 if columns == 1 else 4.8 * columns, 4.2)
    figure = Figure(figsize=size or usual, dpi=130, layout="constrained")
    axes = figure.subplots(1, columns)
    for panel in np.atleast_1d(axes):
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#e6e9ec", linewidth=0.6)
        panel.set_axisbelow(True)
    return figure, axes


def add_legend(home: Any, entries: Sequence[tuple[Any, str]], **style: Any) -> None:
    """Add a legend of axes or of a figure that shows every entry.

    matplotlib leaves out labels that begin with an underscore: it calls artists so that have none.

    Args:
        home: The axes or the figure.
        entries: What is drawn, and what it is called.
        style: Further arguments of matplotlib's legend.
    """
    if not entries:
        return
    legend = home.legend([drawn for drawn, _ in entries], ["-"] * len(entries), **style)
    for text, (_, name) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(printable(name))


def plain_ticks(axis: Any) -> None:
    """Set ticks at 1, 2 and 5 in plain numbers on a logarithmic axis, few enough not to overlap."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def png(figure: Any) -> bytes:
    """Return the figure as the bytes of a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(buffer)
    return buffer.getvalue()


def drawn(caption: str, draw: Callable[[], bytes]) -> tuple[tuple[str, bytes], ...]:
    """Return a picture with its caption; nothing where matplotlib is not installed or cannot draw here."""
    try:
        return ((caption, pictures_of(lambda: {"": draw()})[""]),)
    except NoPictureError:
        return ()
