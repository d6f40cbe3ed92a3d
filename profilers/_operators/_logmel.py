"""The log-mel front end: raw samples to a map of mel bands and frames, inside the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from latency_tables import Op, Shape
from profilers._errors import OperatorError
from profilers._operators._base import BatchNorm, Emitter, FloatArray, Primitive, constant_tensors, single_input

if TYPE_CHECKING:
    import torch

MOST_PIECES = 64
"""Most pieces that a frame is put together from: the window over the greatest common divisor of window and hop."""
MOST_SAMPLES = 1 << 15
"""Largest window and transform, in samples."""
_MOST_BANDS = 1024
"""Keys of ops come from files: their matrices must not fill the memory."""


class Matrices(NamedTuple):
    """What a frame is multiplied by.

    Attributes:
        cosine: ``(window / 2, bins)``, times the Hann window.
        sine: ``(window / 2, bins)``, times the Hann window.
        mel: ``(bins, bands)``, over the window's energy and the floor.
    """

    cosine: FloatArray
    sine: FloatArray
    mel: FloatArray


class LogMel(Primitive):
    """Power in mel bands of short frames of a signal, as logarithm over a floor: 0 is silence, as in zero padding.

    Frame t holds the samples from ``t hop`` to ``t hop + window``; nothing is padded. With w the periodic Hann window
    and X the transform of a windowed frame, the power is ``|X|^2 / sum(w^2)``: white noise of variance 1 has power 1 at
    every frequency. Mel bands are triangles with peak 1, evenly spaced from 0 to ``high`` Hz on the scale
    ``2595 log10(1 + f / 700)``. The result is ``ln(max(band power / floor, 1))``.

    A window is symmetric around its centre sample c. With ``e_m = x_(c+m) + x_(c-m)`` and ``o_m = x_(c+m) - x_(c-m)``
    the transform is ``sum_m w_(c+m) (e_m cos(2 pi k m / fft) - i o_m sin(2 pi k m / fft))`` up to a phase: two matrix
    products with half as many rows as the window has samples.

    Its matrices follow from the attributes: they are no parameters, and training does not change them. It computes in
    float32 in networks of every precision.

    Attributes of the op: ``rate`` (Hz), ``window`` (samples, even), ``hop`` (samples), ``fft`` (samples; at least the
    window), ``high`` (Hz) and ``floor`` (dB below power 1).
    """

    kind = "logmel"
    float_only = True

    def infer(self, op: Op) -> Shape:
        """Return ``(channels, bands, frames)``; the output states the bands, the rest follows from the signal."""
        shape = single_input(op)
        if len(shape) != 2 or len(op.output) != 3:
            raise OperatorError(f"op {op.key}: logmel needs a signal (channels, length) and gives (channels, bands, n)")
        window, hop, fft = op.integer("window"), op.integer("hop"), op.integer("fft")
        if not 2 <= window <= fft <= MOST_SAMPLES or window % 2 or hop < 1:
            raise OperatorError(
                f"op {op.key}: the window must be even, at least 2 and at most fft, which is at most {MOST_SAMPLES}; "
                "the hop must be 1 or more"
            )
        if window > shape[1]:
            raise OperatorError(f"op {op.key}: the window is longer than the signal")
        if window // math.gcd(window, hop) > MOST_PIECES:
            raise OperatorError(
                f"op {op.key}: window and hop must have a common divisor of at least 1/{MOST_PIECES} of the window"
            )
        if not 0 < 2 * op.integer("high") <= op.integer("rate") or not 0 <= op.integer("floor") <= 200:
            raise OperatorError(f"op {op.key}: high must be above 0 and at most rate / 2, floor 0 to 200 dB")
        if op.output[1] > _MOST_BANDS:
            raise OperatorError(f"op {op.key}: there must be at most {_MOST_BANDS} bands")
        empty = empty_mel_bands(op)
        if empty:
            raise OperatorError(
                f"op {op.key}: no frequency of the transform lies in mel band {empty[0]}; use fewer bands or a larger "
                "fft"
            )
        return (shape[0], op.output[1], (shape[1] - window) // hop + 1)

    def macs(self, op: Op) -> int:
        """Count both products of the transform, its squares, and the product with the mel bands."""
        channels, bands, frames = op.output
        bins = _used_bins(op)
        return channels * frames * bins * (op.integer("window") + 2 + bands)

    def lower(self, op: Op, emit: Emitter, inputs: Sequence[str], weights: Mapping[str, FloatArray]) -> str:
        """Write slices that make frames, two products for the transform, its power, mel bands, and Log."""
        matrices, half, window = matrices_of(op), op.integer("window") // 2, op.integer("window")
        frames = self._frames(op, emit, inputs[0])
        later = _slice(emit, frames, 3, half, window)
        earlier = _slice(emit, frames, 3, half, 0, -1)
        even, odd = emit.node("Sum", [later, earlier]), emit.node("Sub", [later, earlier])
        real = emit.node("MatMul", [even, emit.constant("cosine", matrices.cosine)])
        imaginary = emit.node("MatMul", [odd, emit.constant("sine", matrices.sine)])
        squares = [emit.node("Mul", [part, part]) for part in (real, imaginary)]
        bands = emit.node("MatMul", [emit.node("Sum", squares), emit.constant("mel", matrices.mel)])
        one = emit.constant("one", np.array(1.0, dtype=np.float32))
        return emit.node("Transpose", [emit.node("Log", [emit.node("Max", [bands, one])])], perm=[0, 1, 3, 2])

    def _frames(self, op: Op, emit: Emitter, x: str) -> str:
        """Write the nodes that cut a signal ``(n, channels, length)`` into frames ``(n, channels, frames, window)``.

        The signal is cut into rows as long as the common divisor of window and hop; a frame is a few rows.
        """
        (channels, length), frames = op.inputs[0], op.output[2]
        window, hop = op.integer("window"), op.integer("hop")
        row = math.gcd(window, hop)
        rows, step = length // row, hop // row
        if rows * row < length:
            x = _slice(emit, x, 2, 0, rows * row)
        x = emit.node("Reshape", [x, emit.integers("rows", [0, channels, rows, row])])
        pieces = [_slice(emit, x, 2, i, i + (frames - 1) * step + 1, step) for i in range(window // row)]
        return pieces[0] if len(pieces) == 1 else emit.node("Concat", pieces, axis=3)

    def forward(
        self,
        op: Op,
        inputs: Sequence[torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
        norm: BatchNorm,
    ) -> torch.Tensor:
        """Compute the same in torch, in float32 whatever the input's dtype is."""
        import torch

        x, half = inputs[0], op.integer("window") // 2
        with torch.autocast(x.device.type, enabled=False):
            cosine, sine, mel = _tensors(op, str(x.device))
            frames = x.float().unfold(2, op.integer("window"), op.integer("hop"))
            later, earlier = frames[..., half:], frames[..., 1 : half + 1].flip(-1)
            real, imaginary = (later + earlier) @ cosine, (later - earlier) @ sine
            bands = (real * real + imaginary * imaginary) @ mel
            return bands.clamp(min=1.0).log().transpose(2, 3).to(x.dtype)


def _slice(emit: Emitter, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
    """Write a Slice along one axis, counted with the batch axis; return its output's name."""
    return emit.node("Slice", [x, *(emit.integers(f"at{value}", [value]) for value in (start, end, axis, step))])


@cache  # captured graphs hold their addresses, not them
def matrices_of(op: Op) -> Matrices:
    """Compute the matrices of an op from its attributes, in float64, rounded to float32."""
    half, bins = op.integer("window") // 2, _used_bins(op)
    angles = 2 * np.pi / op.integer("fft") * np.outer(np.arange(half), np.arange(bins))
    # w_(c+m) = (1 + cos(pi m / half)) / 2, and e_0 = 2 x_c counts the centre twice
    window = 0.5 + 0.5 * np.cos(np.pi * np.arange(half) / half)
    energy = window[0] ** 2 + 2 * float(np.sum(window[1:] ** 2))
    counted = np.where(np.arange(half) == 0, 0.5, 1.0) * window
    floor = 10.0 ** (-op.integer("floor") / 10)
    cosine, sine = counted[:, None] * np.cos(angles), window[:, None] * np.sin(angles)
    mel = _triangles(op)[:bins] / (energy * floor)
    return Matrices(cosine.astype(np.float32), sine.astype(np.float32), mel.astype(np.float32))


@cache  # captured graphs hold their addresses, not them
def _tensors(op: Op, device: str) -> tuple[torch.Tensor, ...]:
    return constant_tensors(matrices_of(op), device)


@cache  # captured graphs hold their addresses, not them
def _triangles(op: Op) -> npt.NDArray[np.float64]:
    """Return the mel bands as weights of the frequencies ``k rate / fft``, ``(fft / 2 + 1, bands)``."""
    bands, fft = op.output[1], op.integer("fft")
    highest = 2595 * math.log10(1 + op.integer("high") / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, bands + 2) / 2595) - 1)
    frequencies = np.arange(fft // 2 + 1)[:, None] * (op.integer("rate") / fft)
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    weights: npt.NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return weights


def _used_bins(op: Op) -> int:
    """Count the frequencies up to the last one that lies in a mel band."""
    return int(np.flatnonzero(_triangles(op).max(axis=1) > 0)[-1]) + 1


def empty_mel_bands(op: Op) -> list[int]:
    """Return the numbers of mel bands in which no frequency of the transform lies, counted from 1."""
    return [int(band) + 1 for band in np.flatnonzero(_triangles(op).max(axis=0) <= 0)]
