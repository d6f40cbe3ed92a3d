"""Networks of a derived space: cut out of the model's weights, exported, fitted to data."""

import numpy as np
import pytest
import torch
from derived_models import Net, mobile, random_graph, resnet
from training_toys import digits_task

import hwnas
from hwnas.spaces import Architecture, derive
from hwnas.spaces._derived._remake import resized
from hwnas.testing._operators import run_onnx, varied_weights
from hwnas.training import (
    Subnet,
    Supernet,
    default_recipe,
    fitted,
    taylor_scores,
    train_supernet,
    with_norm_statistics,
)
from hwnas.training._derived import plain_norms
from hwnas.training._trim import cut_tensor
from latency_tables import INPUT
from profilers import GraphModule, build_onnx, graph_parameters

MODELS = {
    "resnet": lambda: resnet(blocks=2, size=16),
    "mobile": lambda: mobile(size=16, norm="bias"),
    **{f"random {seed}": lambda seed=seed: random_graph(seed) for seed in range(8)},
}
models = pytest.mark.parametrize("name", MODELS)


def derived_of(model, **settings):
    return derive(model, varied_weights(model), **settings)


def supernet_of(derived):
    net = Supernet(derived.space)
    net.load(derived.weights)
    return net


def relative(got, expected):
    return float(np.abs(got - expected).max() / max(1e-6, expected.std()))


@models
def test_every_subnet_exports_and_agrees_with_torch(name):
    derived = derived_of(MODELS[name]())
    space, net = derived.space, supernet_of(derived)
    assert net.largest == space.largest
    assert set(net.shared()) == {n for n in derived.weights if not n.endswith(("mean", "variance"))}
    for arch in [*space.sample(2, np.random.default_rng(0)), net.smallest]:
        x = torch.randn(4, *space.input_shape(arch), generator=torch.Generator().manual_seed(0))
        subnet = net.subnet(arch, [x])
        exported = build_onnx(space.graph(arch), subnet.arrays(), batch=4)
        assert relative(run_onnx(exported, {INPUT: x.numpy()})[0], subnet(x).detach().numpy()) < 1e-4


def narrow(space, seed):
    """A network with all blocks, kernels and pixels, but few channels."""
    rng = np.random.default_rng(seed)
    drawn = space.decode(rng.integers(0, space.cardinalities))
    widths = {width.name for width in space.plan.widths}
    pairs = zip(space.choices, drawn.values, space.largest.values, strict=True)
    return Architecture(tuple(some if choice.name in widths else all_ for choice, some, all_ in pairs))


def cut(derived, arch):
    """The model's own weights of a network, statistics too."""
    segments = derived.space.weight_segments(arch)
    return {
        name: cut_tensor(torch.from_numpy(derived.weights[name]), parameter, name, segments.get(name))
        for name, parameter in graph_parameters(derived.space.graph(arch))
    }


def silenced(derived, arch):
    """The model's weights with zeros for every channel that the network leaves out."""
    space = derived.space
    kept, weights = space._kept_units(arch), {n: v.copy() for n, v in derived.weights.items()}
    for node in space.prepared.graph.nodes:
        start = 0
        for part in space.plan.layout.written[node.name]:
            stop = start + part.count * part.width
            gone = slice(start + kept.get(part.group, part.count) * part.width, stop)
            for name in ("weight", "bias", "gamma", "beta", "mean"):
                if f"{node.name}.{name}" in weights:
                    weights[f"{node.name}.{name}"][gone] = 0
            start = stop
    return weights


@models
def test_a_narrow_network_is_the_model_without_some_channels(name):
    derived = derived_of(MODELS[name]())
    arch = narrow(derived.space, 3)
    x = torch.randn(2, *derived.graph.input_shape, generator=torch.Generator().manual_seed(0))
    expected = GraphModule(derived.graph, silenced(derived, arch)).eval()(x).detach().numpy()
    got = Subnet(derived.space.graph(arch), cut(derived, arch))(x).numpy()
    assert relative(got, expected) < 1e-4


def test_norms_that_were_put_back_take_statistics_and_change_nothing():
    model = mobile(size=16, norm="bias")
    derived = derived_of(model)
    x = torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 + 1
    with_data = with_norm_statistics(derived, [x[:32], x[32:]])
    plain, other = (
        Subnet(d.graph, {n: torch.from_numpy(v) for n, v in d.weights.items()}) for d in (derived, with_data)
    )
    assert relative(other(x).numpy(), plain(x).numpy()) < 1e-4
    assert not np.allclose(with_data.weights["stem.variance"], derived.weights["stem.variance"])
    trained = supernet_of(with_data)(x, derived.space.largest)
    assert relative(trained.detach().numpy(), plain(x).numpy()) < 1e-3


def test_first_order_importance_is_the_derivative_by_a_gate():
    net = Net((1, 8, 8))
    model = net.classify(net.conv("b", net.conv("a", INPUT, 16, 3, "relu"), 16, 3, "relu"), 3)
    derived = derived_of(model)
    x, y = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    loss = torch.nn.functional.cross_entropy
    scores = taylor_scores(derived, [(x, y)], loss)

    def at(channel, factor):
        """The loss where a channel is multiplied with a factor."""
        weights = {n: v.astype(np.float64) for n, v in derived.weights.items()}
        for name in ("a.gamma", "a.beta"):
            weights[name][channel] *= factor
        module = GraphModule(derived.graph, weights).eval()
        return float(loss(module(x), y).detach())

    slopes = [(at(c, 1.02) - at(c, 0.98)) / 0.04 for c in range(16)]
    assert np.allclose(scores["a"], np.square(slopes), rtol=0.1, atol=2e-4)


@pytest.mark.parametrize("importance", ["l2", "bn", "taylor"])
def test_fitting_keeps_the_function_and_training_goes_on_from_it(importance):
    model = resized(resnet(blocks=1, widths=(8, 16), size=8, norm="bias"), (1, 8, 8))
    task = digits_task(120)
    derived = derive(model, varied_weights(model), importance=importance, resolutions=[8])
    recipe = default_recipe(task, epochs=1, batch_size=32)
    after = fitted(derived, task, recipe, samples=100)
    x = task.inputs("train", slice(0, 16), (1, 8, 8))
    one, other = (Subnet(d.graph, {n: torch.from_numpy(v) for n, v in d.weights.items()})(x) for d in (derived, after))
    assert relative(other.numpy(), one.numpy()) < 1e-4
    net = supernet_of(after)
    train_supernet(net, task, recipe)
    assert not torch.equal(net.shared()["stem.weight"], torch.from_numpy(after.weights["stem.weight"]))


class Scaled(torch.nn.Module):
    """A classifier with constant factors and shifts that no layer can take in."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = torch.nn.Conv2d(1, 16, 3, padding=1), torch.nn.Conv2d(16, 16, 3, padding=1)
        self.classes = torch.nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.first((x - 0.5) / 0.25)) * 1.7
        x = torch.relu(self.second(x) * 0.5 + 0.1 + x)
        return self.classes(x.mean((2, 3)) * 3.0 - 0.2)


def test_constant_factors_compute_the_same_when_a_training_takes_statistics():
    model = hwnas.from_torch(Scaled().eval(), torch.rand(1, 1, 8, 8))
    derived = derive(model.graph, model.weights, importance="l2")
    plain = plain_norms(derived)
    assert len(plain) >= 2
    task = digits_task()
    with_data = fitted(derived, task, default_recipe(task))
    assert not plain_norms(with_data)
    x = task.inputs("train", np.arange(task.size("train")), task.input_shape)
    expected = run_onnx(build_onnx(derived.graph, derived.weights, batch=len(x)), {INPUT: x.numpy()})[0]
    same = run_onnx(build_onnx(with_data.graph, with_data.weights, batch=len(x)), {INPUT: x.numpy()})[0]
    assert relative(same, expected) < 1e-4
    subnet = supernet_of(with_data).subnet(derived.space.largest, [x])  # recomputes all statistics
    assert np.mean(np.abs(subnet(x).detach().numpy() - expected)) < 0.1 * expected.std()
    wrong = supernet_of(derived).subnet(derived.space.largest, [x])
    assert np.mean(np.abs(wrong(x).detach().numpy() - expected)) > 0.3 * expected.std()
