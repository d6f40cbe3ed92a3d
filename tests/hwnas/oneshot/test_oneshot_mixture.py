"""`Mixture`: one-hot probabilities give the subnet; widths, kernels and depths follow their definitions."""

import numpy as np
import pytest
import torch
from derived_models import dense_block, resnet

from hwnas._errors import EvaluatorError
from hwnas.oneshot import Mixture, one_hot, uniform
from hwnas.spaces import ChoiceGraph, ChoiceGraphSpace, DerivedSpace, make_space
from hwnas.training import Supernet
from profilers import ops

SPACES = {
    "mobilenetv3": lambda: make_space("mobilenetv3", image_channels=1, resolution=[8, 12], width=[0.25, 0.5, 1.0]),
    "nasbench201": lambda: make_space("nasbench201", image_size=8, cells=1, channels=4),
    "convnet1d": lambda: make_space("convnet1d", length=250),
    "unet": lambda: make_space("unet"),
    "fpn": lambda: make_space("fpn", resolution=[64], width=[0.25, 0.5], channels=[8, 16]),
    "resnet": lambda: DerivedSpace(resnet(1, (16, 32), 16)),
    "dense": lambda: DerivedSpace(dense_block(3)),
}


def supernet_of(space):
    """A supernet whose residual branches and biases are not 0, as they are at first."""
    supernet = Supernet(space)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in supernet.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.1)
    return supernet


@pytest.mark.parametrize("name", SPACES)
def test_one_hot_probabilities_give_the_subnet(name):
    space = SPACES[name]()
    supernet = supernet_of(space).double()
    mixture = Mixture(supernet)
    for arch in space.sample(3, np.random.default_rng(0)):
        x = torch.randn(3, *space.input_shape(arch), dtype=torch.float64)
        with torch.no_grad():
            mixed, subnet = mixture(x, one_hot(space, arch)), supernet(x, arch)
        torch.testing.assert_close(mixed, subnet, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenetv3", "convnet1d", "resnet"])
def test_every_choice_that_makes_a_difference_has_a_gradient(name):
    space = SPACES[name]()
    mixture = Mixture(supernet_of(space))
    distribution = [p.requires_grad_() for p in uniform(space, dtype=torch.float32)]
    sampled = mixture.sample(distribution, np.random.default_rng(0))
    x = torch.randn(4, *mixture.input_shape(sampled))
    mixture(x, distribution, sampled).square().mean().backward()
    without = [c for c, vector in enumerate(distribution) if vector.grad is None or not vector.grad.any()]
    assert len(without) < 0.3 * len(distribution)
    for column in without:  # kernels on maps of one element, where only the middle counts
        with torch.no_grad():
            ends = [torch.eye(len(distribution[column]))[code] for code in (0, -1)]
            first, last = (mixture(x, [*distribution[:column], p, *distribution[column + 1 :]], sampled) for p in ends)
        assert "kernel" in space.choices[column].name
        torch.testing.assert_close(first, last)


HALF = {**SPACES, "dash1d": lambda: make_space("dash1d", length=250), "dash2d": lambda: make_space("dash2d")}


@pytest.mark.parametrize("name", HALF)
def test_in_bfloat16_the_outputs_are_near_those_in_float32_and_gradients_come_back(name):
    space = HALF[name]()
    mixture = Mixture(supernet_of(space))
    distribution = [p.requires_grad_() for p in uniform(space, dtype=torch.float32)]
    sampled = mixture.sample(distribution, np.random.default_rng(0))
    x = torch.randn(8, *mixture.input_shape(sampled))
    with torch.no_grad():
        exact = mixture(x, distribution, sampled)
    with torch.autocast("cpu", torch.bfloat16):
        half = mixture(x, distribution, sampled).float()
    assert float((half.detach() - exact).norm() / exact.norm()) < 0.15
    half.square().mean().backward()
    assert all(vector.grad is None or vector.grad.isfinite().all() for vector in distribution)
    assert any(vector.grad is not None and vector.grad.any() for vector in distribution)


class OneConv(ChoiceGraphSpace):
    """One convolution without norm or activation: everything about it can be calculated by hand."""

    name = "one-conv"

    def state(self):
        graph = ChoiceGraph()
        width = graph.choice("width", (2, 4, 6))
        kernel = graph.choice("kernel", (1, 3, 5))
        dilation = graph.choice("dilation", (1, 2))
        x = graph.add("conv", _plain, graph.read(3, 9, 9), channels=width, kernel=kernel, dilation=dilation)
        depth = graph.choice("depth", (0, 1))
        x = graph.add("more", _plain, x, when=(depth, bool), channels=width, kernel=3, dilation=1)
        return graph.finish(graph.add("last", _plain, x, channels=5, kernel=1, dilation=1))


def _plain(shape, *, channels, kernel, dilation):
    return ops.conv(shape, channels, kernel, dilation=dilation, norm="none")


def test_widths_kernels_and_depth_of_linear_layers_are_weighted_sums_of_the_subnets():
    space = OneConv()
    supernet = Supernet(space).double()
    mixture = Mixture(supernet)
    rng = np.random.default_rng(0)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    kernel, dilation, depth = (torch.tensor(rng.dirichlet(np.ones(n))) for n in (3, 2, 2))
    for width in range(3):  # two masks in a row would not be linear, so one width at a time
        distribution = [torch.eye(3, dtype=torch.float64)[width], kernel, dilation, depth]
        total = sum(
            kernel[k] * dilation[d] * depth[e] * supernet(x, space.decode([width, k, d, e]))
            for k in range(3)
            for d in range(2)
            for e in range(2)
        )
        torch.testing.assert_close(mixture(x, distribution), total)


def test_a_mask_multiplies_a_channel_by_the_probability_of_the_widths_that_have_it():
    space = OneConv()
    supernet = Supernet(space).double()
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    probabilities = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    kernel, dilation, depth = torch.eye(3)[0].double(), torch.eye(2)[0].double(), torch.eye(2)[0].double()
    mixed = Mixture(supernet)(x, [probabilities, kernel, dilation, depth])
    widths = torch.cat([one.expand(2) * 1.0, one.expand(2) * 0.8, one.expand(2) * 0.5])
    weights = supernet.shared()
    y = torch.nn.functional.conv2d(x, weights["conv.weight"][:, :, 2:3, 2:3]) * widths.reshape(1, 6, 1, 1)
    torch.testing.assert_close(mixed, torch.nn.functional.conv2d(y, weights["last.weight"]))


class Moved(ChoiceGraphSpace):
    """A shift or a concatenation moves the channels of a convolution: other ones for each width."""

    name = "moved"

    def __init__(self, move="shift"):
        self._move = move

    @property
    def settings(self):
        return {"move": self._move}

    def state(self):
        graph = ChoiceGraph()
        width = graph.choice("width", (8, 16, 24))
        x = graph.read(3, 4, 5, 5)
        x = graph.add("conv", _plain, x, channels=width, kernel=1, dilation=1)
        if self._move == "shift":
            x = graph.add("moved", lambda shape: ops.shift(shape, shape[0] // 8), x)
        else:
            x = graph.add("moved", ops.concat, x, x)
        return graph.finish(graph.add("last", _plain, x, channels=5, kernel=1, dilation=1))


@pytest.mark.parametrize("move", ["shift", "concat"])
def test_where_channels_move_the_result_is_the_weighted_sum_over_widths(move):
    space = Moved(move)
    supernet = Supernet(space).double()
    p = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    x = torch.randn(2, 3, 4, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        total = sum(p[width] * supernet(x, space.decode([width])) for width in range(3))
        torch.testing.assert_close(Mixture(supernet)(x, [p]), total)


def test_sampled_choices_get_the_straight_through_gradient():
    space = SPACES["mobilenetv3"]()
    mixture = Mixture(supernet_of(space).double())
    assert [space.choices[column].name for column in mixture.sampled] == ["resolution"]
    arch = space.sample(1, np.random.default_rng(0))[0]
    distribution = one_hot(space, arch)
    probability = torch.tensor([0.25, 0.75], dtype=torch.float64, requires_grad=True)
    distribution[1] = probability
    output = mixture(torch.randn(2, 1, 8, 8, dtype=torch.float64), distribution, {1: 0})
    output.sum().backward()
    torch.testing.assert_close(probability.grad, torch.tensor([output.sum().item(), 0.0], dtype=torch.float64))


def test_nothing_but_nothing_is_an_error():
    space = SPACES["nasbench201"]()
    mixture = Mixture(Supernet(space))
    with pytest.raises(EvaluatorError, match="no path of positive probability"):
        mixture(torch.randn(2, 3, 8, 8), [torch.eye(5)[0]] * 6)
