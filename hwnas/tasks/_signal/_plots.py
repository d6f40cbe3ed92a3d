"""Pictures of signals and of what a network says of them, as PNG bytes. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas._common._canvas import BLUE, ORANGE, png

_COLUMNS = 4
_FRAME_S, _LEAST_FRAMES = 0.025, 8
"""Frames of a spectrogram; signals of fewer are drawn as waveforms."""


def values_plot(targets: npt.NDArray[Any], predictions: npt.NDArray[Any]) -> bytes:
    """Plot predicted against true values ``(n,)``."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.6), dpi=130, layout="constrained")
    axes = figure.subplots()
    ends = [min(targets.min(), predictions.min()), max(targets.max(), predictions.max())]
    axes.plot(ends, ends, color="black", linewidth=1, label="equal")
    axes.scatter(targets, predictions, s=14, color=BLUE, alpha=0.6, linewidth=0, label="test signals")
    axes.set_xlabel("value")
    axes.set_ylabel("prediction")
    axes.set_title("Predicted against true values", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e9ec", linewidth=0.6)
    axes.legend(frameon=False, fontsize=8)
    return png(figure)


def examples_plot(signals: npt.NDArray[np.float32], titles: Sequence[tuple[str, bool]], rate: int | None) -> bytes:
    """Plot some signals, sound with its spectrogram.

    Args:
        signals: ``(n, channels, length)`` as they were recorded.
        titles: What stands above each, and whether the prediction is right.
        rate: Samples per second; None where that is not known.
    """
    from matplotlib.figure import Figure

    rows = -(-len(signals) // _COLUMNS)
    sound = rate is not None and signals.shape[2] >= _LEAST_FRAMES * round(_FRAME_S * rate)
    figure = Figure(figsize=(11.0, (3.0 if sound else 2.1) * rows), dpi=130, layout="constrained")
    outer = figure.add_gridspec(rows, _COLUMNS)
    for place, (signal, (title, right)) in enumerate(zip(signals, titles, strict=True)):
        cell = outer[divmod(place, _COLUMNS)]
        if sound:
            assert rate is not None
            inner = cell.subgridspec(2, 1, height_ratios=(1, 2), hspace=0.02)
            top, below = figure.add_subplot(inner[0]), figure.add_subplot(inner[1])
            _draw_wave(top, signal, rate)
            top.set_xticks([])
            _draw_spectrogram(below, signal, rate)
        else:
            top = figure.add_subplot(cell)
            _draw_wave(top, signal, rate)
            top.tick_params(labelsize=7)
        top.set_title(title, fontsize=9, color="#1c2733" if right else ORANGE)
    return png(figure)


def _draw_wave(axes: Any, signal: npt.NDArray[np.float32], rate: int | None) -> None:
    """Draw each channel against seconds, or samples where the rate is not known."""
    times = np.arange(signal.shape[1]) / (rate or 1)
    for values in signal:
        axes.plot(times, values, linewidth=0.6)
    axes.set_xlim(0, times[-1] if len(times) > 1 else 1)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    if rate is None:
        axes.set_xlabel("samples", fontsize=7)


def _draw_spectrogram(axes: Any, signal: npt.NDArray[np.float32], rate: int) -> None:
    """Draw the power of the first channel by time and frequency, in decibels, down to 70 below the greatest."""
    from scipy.signal import spectrogram

    frame = round(_FRAME_S * rate)
    frequencies, times, power = spectrogram(
        signal[0].astype(np.float64), rate, nperseg=frame, noverlap=frame - max(1, frame // 4), detrend=False
    )
    decibels = 10 * np.log10(power + 1e-20)
    top = float(decibels.max())
    axes.pcolormesh(times, frequencies / 1000, decibels, vmin=top - 70, vmax=top, cmap="magma", shading="auto")
    axes.set_xlabel("seconds", fontsize=7)
    axes.set_ylabel("kHz", fontsize=7)
    axes.tick_params(labelsize=7)
