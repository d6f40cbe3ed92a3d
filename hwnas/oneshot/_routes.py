"""Three ways to compute a sum of convolutions of several dilations, and which of them is the fastest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as f

from latency_tables import Shape

Route = Literal["results", "weights", "fft"]
ROUTES: tuple[Route, ...] = ("results", "weights", "fft")
_SMOOTH = (2, 3, 5)
_BLOCK = 16
"""Convolutions on a CPU compute channels in blocks of so many."""
_PRICES: Mapping[tuple[Route, bool, bool], tuple[float, float, float, float]] = {
    ("results", False, False): (4.39e-08, 0.0, 4.46e-06, 0.409),
    ("results", False, True): (1.64e-06, 1.2e-06, 0.000452, 0.141),
    ("results", True, False): (1.41e-08, 3.14e-06, 2e-06, 0.248),
    ("results", True, True): (1.21e-06, 4.08e-07, 0.000299, 0.28),
    ("weights", False, False): (6.51e-08, 0.0, 3.52e-06, 0.116),
    ("weights", False, True): (1.15e-06, 0.0, 2.18e-05, 0.171),
    ("weights", True, False): (3.31e-08, 0.0, 9.98e-07, 0.201),
    ("weights", True, True): (9.05e-07, 0.0, 2.04e-05, 0.0),
    ("fft", False, False): (9.03e-08, 8.84e-07, 1.06e-06, 0.506),
    ("fft", False, True): (1.53e-06, 3.17e-07, 0.0, 0.164),
    ("fft", True, False): (1.98e-08, 1.02e-06, 1.97e-06, 0.495),
    ("fft", True, True): (0.0, 4.49e-07, 0.0, 0.408),
}
"""Milliseconds for each kind of `SummedLayer.work`, by route, whether there are several axes, and whether the
convolution is in groups; fitted to 60 drawn layers on one CPU core (`scripts/bench_dash_routes.py --fit`)."""


@dataclass(frozen=True)
class Kernel:
    """One of the kernels that a layer sums up.

    Attributes:
        dilation: Distance between its taps along each axis.
        weight: ``(out, in / groups, *kernel)``, odd along each axis.
    """

    dilation: tuple[int, ...]
    weight: Tensor

    @property
    def reach(self) -> tuple[int, ...]:
        """How many elements lie between its middle and its ends along each axis."""
        return tuple(d * (k // 2) for d, k in zip(self.dilation, self.weight.shape[2:], strict=True))


@dataclass(frozen=True)
class SummedLayer:
    """The extents of a sum of convolutions.

    Attributes:
        input: ``(N, in, ...)``.
        outputs: Output channels.
        windows: The extents and the dilation of each kernel.
        stride: Step along each axis.
        groups: Groups of channels.
    """

    input: Shape
    outputs: int
    windows: tuple[tuple[Shape, Shape], ...]
    stride: Shape
    groups: int

    def work(self, route: Route) -> tuple[float, ...]:
        """Return what the time of a route is estimated from.

        Returns:
            Multiply-accumulates of convolutions or products, elements of maps that are read and written (for ``fft``
            times the logarithm of the transform), elements of kernels (likewise), and 1.
        """
        batch, channels, *sizes = self.input
        steps = math.prod(-(-n // s) for n, s in zip(sizes, self.stride, strict=True))
        pairs = self.outputs * channels // self.groups
        widest = tuple(max(d[axis] * (k[axis] - 1) + 1 for k, d in self.windows) for axis in range(len(sizes)))
        if route == "fft":
            lengths = (
                _transform_length(n, span // 2) for n, span in zip(sizes, widest, strict=True) if n > 1 or span > 1
            )
            bins = math.prod(lengths)
            depth = math.log2(max(2, bins))
            return batch * pairs * bins, batch * (channels + self.outputs) * bins * depth, pairs * bins * depth, 1.0
        blocks = _rounded(channels) * _rounded(self.outputs) if self.groups == 1 else pairs
        elements = batch * (channels * math.prod(sizes) + self.outputs * steps)
        taps = sum(math.prod(kernel) for kernel, _ in self.windows)
        if route == "results":
            return batch * blocks * taps * steps, len(self.windows) * elements, pairs * taps, 1.0
        dense = math.prod(widest)
        return batch * blocks * dense * steps, elements, len(self.windows) * pairs * dense, 1.0


def _rounded(channels: int) -> int:
    return -(-channels // _BLOCK) * _BLOCK


@lru_cache(maxsize=4096)
def fastest_route(layer: SummedLayer) -> Route:
    """Return the route that is expected to be the fastest, forward and backward.

    The choice depends on the extents alone, by prices fitted to timings (`scripts/bench_dash_routes.py`): a training
    that continues on another day takes the same routes and gets the same bits.
    """
    able = [route for route in ROUTES if route != "fft" or layer.groups in (1, layer.input[1])]
    return min(able, key=partial(expected_ms, layer))


def expected_ms(layer: SummedLayer, route: Route) -> float:
    """Return the milliseconds that a route is expected to take, forward and backward, on the CPU that was measured."""
    prices = _PRICES[route, len(layer.input) - 2 > 1, layer.groups > 1]
    return sum(price * amount for price, amount in zip(prices, layer.work(route), strict=True))


def summed_convolution(
    x: Tensor, kernels: Sequence[Kernel], *, stride: Sequence[int], groups: int, route: Route
) -> Tensor:
    """Convolve with the sum of several kernels whose middles lie on one another ("same" padding).

    All routes compute the same, up to rounding: convolution is linear in its kernel.

    * ``results``: one convolution for each kernel; their results are added up.
    * ``weights``: one convolution with the sum of the kernels, in which the gaps of dilated kernels are zeros.
    * ``fft``: the sum of the kernels, multiplied with the input in the frequency domain (DASH, Shen et al. 2022,
      arXiv 2204.07554, section 3.2). The number of taps then makes no difference.

    Args:
        x: ``(N, in, ...)``.
        kernels: The kernels, at least one.
        stride: Step along each axis.
        groups: Groups of channels; ``fft`` takes 1, or as many as channels (depthwise).
        route: Which way.

    Returns:
        ``(N, out, ...)``.
    """
    axes = x.ndim - 2
    if route == "results":
        convolve: Any = (f.conv1d, f.conv2d, f.conv3d)[axes - 1]
        results = [convolve(x, own.weight, None, stride, own.reach, own.dilation, groups) for own in kernels]
        total: Tensor = results[0]
        for result in results[1:]:
            total = total + result
        return total
    summed = summed_kernel(kernels)
    reach = [size // 2 for size in summed.shape[2:]]
    if route == "weights":
        convolve = (f.conv1d, f.conv2d, f.conv3d)[axes - 1]
        dense: Tensor = convolve(x, summed, None, stride, reach, 1, groups)
        return dense
    return _by_fft(x, summed, stride, depthwise=groups > 1)


def summed_kernel(kernels: Sequence[Kernel]) -> Tensor:
    """Return the sum of kernels as one without dilation, ``(out, in / groups, *widest)``."""
    widest = tuple(map(max, zip(*(own.reach for own in kernels), strict=True)))
    total: Tensor | None = None
    for own in kernels:
        spread = _spread(own, widest)
        total = spread if total is None else total + spread
    assert total is not None
    return total


def _spread(own: Kernel, widest: Sequence[int]) -> Tensor:
    """Return a kernel with zeros between its taps, in the middle of one that reaches farther."""
    spread = own.weight
    if max(own.dilation) > 1:
        spread = own.weight.new_zeros(*own.weight.shape[:2], *(2 * end + 1 for end in own.reach))
        every = tuple(slice(None, None, d) for d in own.dilation)
        spread[slice(None), slice(None), *every] = own.weight
    ends = [most - end for most, end in zip(widest, own.reach, strict=True)]
    return f.pad(spread, [end for end in reversed(ends) for _ in (0, 1)]) if any(ends) else spread


def _by_fft(x: Tensor, kernel: Tensor, stride: Sequence[int], *, depthwise: bool) -> Tensor:
    """Convolve in the frequency domain.

    With a kernel of reach r and an input of n elements behind r zeros, a transform of ``n + r`` elements suffices:
    what wraps around meets these zeros.
    """
    wide = torch.promote_types(x.dtype, torch.float32)  # transforms know no half precision
    sizes, reach = x.shape[2:], [size // 2 for size in kernel.shape[2:]]
    axes = [axis for axis, (n, r) in enumerate(zip(sizes, reach, strict=True)) if n > 1 or r > 0]
    lengths = [_transform_length(sizes[axis], reach[axis]) for axis in axes]
    places = [2 + axis for axis in axes]
    padded = f.pad(x, [end for r in reversed(reach) for end in (r, 0)])
    signal = torch.fft.rfftn(padded.to(wide), lengths, places)
    taps = torch.fft.rfftn(kernel.to(wide), lengths, places).conj()  # torch's convolutions are correlations
    if depthwise:
        product = signal * taps.transpose(0, 1)
    else:
        flat = torch.einsum("nif,oif->nof", signal.flatten(2), taps.flatten(2))
        product = flat.reshape(*flat.shape[:2], *signal.shape[2:])
    result = torch.fft.irfftn(product, lengths, places).to(x.dtype)
    own: Tensor = result[slice(None), slice(None), *(slice(0, n, s) for n, s in zip(sizes, stride, strict=True))]
    return own


@lru_cache(maxsize=4096)
def _transform_length(size: int, reach: int) -> int:
    """Return the least length that holds an axis and has a fast transform: even, with no factor above 5."""
    least = max(size + reach, 2 * reach + 1)
    length = least + least % 2
    while not _is_smooth(length):
        length += 2
    return length


def _is_smooth(number: int) -> bool:
    for factor in _SMOOTH:
        while number % factor == 0:
            number //= factor
    return number == 1
