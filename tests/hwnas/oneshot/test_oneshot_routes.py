"""Sums of convolutions: all routes give the same results and gradients, and the choice follows the extents."""

from functools import partial

import numpy as np
import pytest
import torch

from hwnas.oneshot import ROUTES, Kernel, Mixture, SummedLayer, _masked, expected_ms, fastest_route, summed_convolution
from hwnas.spaces import make_space
from hwnas.training import Supernet

CASES = {
    "1-D": ((2, 4, 40), 6, [(5, 1), (3, 3), (5, 7)], 1, 1),
    "1-D, stride 2, odd": ((2, 4, 33), 3, [(3, 1), (7, 3)], 2, 1),
    "1-D, depthwise": ((2, 4, 40), 4, [(5, 1), (3, 15)], 1, 4),
    "2-D": ((2, 3, 9, 12), 5, [(3, 1), (3, 3)], 1, 1),
    "2-D, depthwise, stride 2": ((2, 4, 9, 12), 4, [(5, 1), (3, 3)], 2, 4),
    "3-D": ((1, 2, 4, 5, 6), 3, [(3, 1), (1, 1)], 1, 1),
    "a kernel beyond the map": ((1, 2, 6), 2, [(9, 1), (3, 7)], 1, 1),
    "one dilation": ((1, 2, 6), 2, [(5, 1)], 1, 1),
}


def case_of(name, dtype=torch.float64):
    shape, outputs, windows, stride, groups = CASES[name]
    axes, generator = len(shape) - 2, torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator, dtype=dtype, requires_grad=True)
    weights = [draw(outputs, shape[1] // groups, *(kernel,) * axes) for kernel, _ in windows]
    x, dilations = draw(*shape), [(dilation,) * axes for _, dilation in windows]

    def compute(route, x, *weights):
        kernels = [Kernel(dilation, weight) for dilation, weight in zip(dilations, weights, strict=True)]
        return summed_convolution(x, kernels, stride=(stride,) * axes, groups=groups, route=route)

    return compute, x, weights


@pytest.mark.parametrize("name", CASES)
def test_all_routes_give_the_same_results_and_gradients(name):
    compute, x, weights = case_of(name, torch.float32)
    expected = compute("results", x, *weights)
    down = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(expected, [x, *weights], down)
    for route in ROUTES[1:]:
        result = compute(route, x, *weights)
        pairs = zip([result, *torch.autograd.grad(result, [x, *weights], down)], [expected, *gradients], strict=True)
        for own, other in pairs:
            assert own.shape == other.shape
            assert float((own - other).detach().norm()) < 1e-5 * float(other.detach().norm())


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", ["1-D", "2-D, depthwise, stride 2"])
def test_gradients_are_those_of_finite_differences(name, route):
    compute, x, weights = case_of(name)
    assert torch.autograd.gradcheck(partial(compute, route), (x, *weights), fast_mode=True)


def test_half_precision_passes_through_the_transform():
    compute, x, weights = case_of("1-D", torch.bfloat16)
    result = compute("fft", x, *weights)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result, compute("results", x, *weights), atol=0.3, rtol=0.05)


def named_layer(axes, channels, size, kernel, dilations, groups=1):
    windows = tuple(((kernel,) * axes, (dilation,) * axes) for dilation in dilations)
    return SummedLayer((16, channels, *(size,) * axes), channels, windows, (1,) * axes, groups)


def test_the_choice_follows_the_extents():
    """Layers whose fastest way is known with a margin of two from `scripts/bench_dash_routes.py`."""
    dilations = (1, 3, 7, 15)
    assert fastest_route(named_layer(1, 32, 1000, 19, dilations)) == "fft"
    assert fastest_route(named_layer(1, 32, 1000, 19, dilations, groups=32)) == "fft"
    assert fastest_route(named_layer(2, 16, 32, 9, dilations, groups=16)) == "fft"
    assert fastest_route(named_layer(2, 64, 8, 3, (1, 3))) == "results"
    assert fastest_route(named_layer(2, 64, 32, 3, (1,))) == "results"
    assert fastest_route(named_layer(1, 32, 1000, 19, dilations, groups=4)) == "results"  # no transform for groups
    layer = named_layer(1, 32, 1000, 19, dilations)
    assert min(ROUTES, key=partial(expected_ms, layer)) == "fft"


@pytest.mark.parametrize(
    "space",
    [
        make_space("dash1d", length=64, input_channels=2, channels=4, classes=3),
        make_space("dash2d", image_size=12, channels=4, blocks=1, classes=3),
        make_space("mobilenetv3", image_channels=1, resolution=[8], width=[0.25, 0.5]),
    ],
    ids=lambda space: space.name,
)
def test_a_mixture_is_the_same_by_every_route(space, monkeypatch):
    supernet = Supernet(space).double()
    rng = np.random.default_rng(0)
    distribution = [torch.tensor(rng.dirichlet(np.ones(n)), requires_grad=True) for n in space.cardinalities]
    x = torch.randn(3, *space.input_shape(supernet.largest), dtype=torch.float64)
    results = {}
    for route in ROUTES:
        monkeypatch.setattr(_masked, "fastest_route", lambda layer, route=route: route)
        y = Mixture(supernet)(x, distribution)
        results[route] = [y, *torch.autograd.grad(y.square().mean(), distribution, allow_unused=True)]
    for route in ROUTES[1:]:
        torch.testing.assert_close(results[route], results["results"], rtol=1e-7, atol=1e-9)
