"""What torch computes in another way where a CPU trains in bfloat16: the same sums."""

import pytest
import torch
from torch.nn import functional as f

from profilers._half import convolve, global_mean

torch.set_num_threads(1)


def whole(*shape, seed):
    """Few small whole numbers, so that bfloat16 holds all their sums."""
    values = torch.randint(-1, 2, shape, generator=torch.Generator().manual_seed(seed)).float()
    return values.contiguous(memory_format=torch.channels_last).requires_grad_()


def gradients(compute, x, weight, *, half):
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y = compute(x, weight)
    slope = whole(*y.shape, seed=9).detach()
    return y, *torch.autograd.grad(y, (x, weight), slope.to(y.dtype))


@pytest.mark.parametrize("size", [(7, 7), (8, 5)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (5, 5), (7, 7), (1, 9), (4, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2), (3, 3)])
def test_depthwise_convolutions_add_up_the_same_products(size, kernel, stride):
    x, weight = whole(2, 16, *size, seed=1), whole(16, 1, *kernel, seed=2)
    padding = (kernel[0] // 2, kernel[1] // 2)

    def compute(x, weight):
        return convolve(x, weight, None, stride, padding, (1, 1), 16)

    half = gradients(compute, x, weight, half=True)
    exact = gradients(lambda x, w: f.conv2d(x, w, None, stride, padding, 1, 16), x, weight, half=False)
    assert half[0].dtype == torch.bfloat16
    assert half[0].grad_fn.name().startswith("DepthwiseConvolution")
    for ours, theirs in zip(half, exact, strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("shape", "weight", "more"),
    [
        ((2, 8, 6, 6), (8, 2, 3, 3), ((1, 1), (1, 1), (1, 1), 4)),
        ((2, 8, 6, 6), (8, 1, 3, 3), ((1, 1), (2, 2), (2, 2), 8)),
        ((2, 8, 12), (8, 1, 5), ((2,), (2,), (1,), 8)),
        ((2, 8, 3, 4, 4), (8, 1, 3, 3, 3), ((1, 1, 1), (1, 1, 1), (1, 1, 1), 8)),
    ],
)
def test_other_convolutions_in_groups_are_computed_in_float32(shape, weight, more):
    x, w = torch.randn(shape, requires_grad=True), torch.randn(weight, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = convolve(x, w, None, *more)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, convolve(x, w, None, *more))


def test_a_bias_is_added_and_gets_its_gradient():
    x, weight, bias = whole(2, 4, 5, 5, seed=1), whole(4, 1, 3, 3, seed=2), torch.ones(4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = convolve(x, weight, bias, (1, 1), (1, 1), (1, 1), 4)
    torch.testing.assert_close(y.float(), f.conv2d(x, weight, bias, 1, 1, 1, 4), rtol=0, atol=0)
    y.sum().backward()
    assert bias.grad.tolist() == [50.0] * 4


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 3, 8), (2, 3, 2, 4, 4)])
def test_a_mean_has_the_gradient_of_a_mean(shape):
    x = torch.randn(shape, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = global_mean(x)
    axes = tuple(range(2, len(shape)))
    torch.testing.assert_close(y, x.mean(axes, keepdim=True))
    (slope,) = torch.autograd.grad((y * y).sum() + (x * y).sum(), x)
    other = x.detach().requires_grad_()
    mean = other.mean(axes, keepdim=True)
    (expected,) = torch.autograd.grad((mean * mean).sum() + (other * mean).sum(), other)
    torch.testing.assert_close(slope, expected)


def test_nothing_changes_in_float32_and_without_gradients():
    x, weight = whole(2, 4, 5, 5, seed=1), whole(4, 1, 3, 3, seed=2)
    more = (None, (1, 1), (1, 1), (1, 1), 4)
    assert convolve(x, weight, *more).grad_fn.name() == "ConvolutionBackward0"
    assert global_mean(x).grad_fn.name() == "MeanBackward1"
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert convolve(x, weight, *more).dtype == torch.bfloat16
