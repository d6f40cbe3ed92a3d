"""The supernet: its weights cover the space, subnets are its slices, gradients add up, norms are recalibrated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor
from training_toys import SPACES, digits

from hwnas._errors import EvaluatorError
from hwnas.spaces import Architecture, Space, make_space
from hwnas.tasks import make_task
from hwnas.tasks._pixel_tensors import prepare_images
from hwnas.training import Supernet
from hwnas.training._batches import sample_batches
from hwnas.training._cover import largest_parameters
from hwnas.training._trim import cut_tensor, trimmed
from latency_tables import OpGraph
from profilers import (
    GraphModule,
    Parameter,
    RunningNorm,
    build_onnx,
    expand,
    graph_macs,
    graph_parameters,
    ops,
    run_graph,
)


def inputs(space: Space, arch: Architecture, count: int = 24) -> Tensor:
    data = digits()
    return prepare_images(data, data.train.images[:count], space.input_shape(arch)[1])


def plain_forward(graph: OpGraph, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """An expanded graph with whole kernels, norms by the batch."""
    blank = torch.empty(0)
    return run_graph(graph, x, lambda n, _: weights.get(n, blank), RunningNorm(training=True, momentum=None))


@pytest.fixture(params=sorted(SPACES), scope="module")
def net(request: pytest.FixtureRequest) -> Supernet:
    supernet = Supernet(SPACES[request.param](), seed=3)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for tensor in supernet.shared().values():  # no scale may stay at its start, or slices would look alike
            tensor.add_(torch.from_numpy(rng.normal(0, 0.2, tensor.shape)).float())
    return supernet


def test_every_network_finds_its_weights(net: Supernet) -> None:
    shared = net.shared()
    for arch in net.space.sample(150, np.random.default_rng(0)):
        for name, parameter in graph_parameters(net.space.graph(arch)):
            if parameter.trainable:
                assert all(have >= want for have, want in zip(shared[name].shape, parameter.shape, strict=True))


def test_the_shared_weights_are_no_larger_than_needed() -> None:
    small = make_space("mobilenetv3", image_channels=1, resolution=8, width=0.5)
    largest = dict(graph_parameters(small.graph(Supernet(small).largest)))
    found = largest_parameters(small)
    assert {name: p.shape for name, p in found.items()} == {name: p.shape for name, p in largest.items()}


def test_all_cells_are_covered() -> None:
    space = SPACES["nasbench201"]()
    found = set(largest_parameters(space))
    every = np.array(np.meshgrid(*[range(5)] * 6)).reshape(6, -1).T
    canonical = np.unique(space.canonical_codes(every[space.valid_codes(every)]), axis=0)
    wanted = set()
    for codes in canonical[:: len(canonical) // 700]:
        wanted |= {name for name, _ in graph_parameters(space.graph(space.decode(codes)))}
    edges = {(n.split(".")[2], n.split(".")[3]) for n in found if ".edge" in n}
    assert wanted <= found
    assert len(edges) == 12


def test_extremes(net: Supernet) -> None:
    macs = [graph_macs(net.space.graph(a)) for a in net.space.sample(200, np.random.default_rng(2))]
    assert graph_macs(net.space.graph(net.largest)) >= max(macs)
    assert graph_macs(net.space.graph(net.smallest)) <= min(macs)


def test_subnet_is_the_stand_alone_network_and_the_onnx_file(net: Supernet) -> None:
    for arch in [net.largest, net.smallest, *net.space.sample(2, np.random.default_rng(4))]:
        x = inputs(net.space, arch)
        subnet = net.subnet(arch, [x])
        module = GraphModule(net.space.graph(arch), subnet.arrays()).eval()
        with torch.no_grad():
            logits, alone = subnet(x).numpy(), module(x).numpy()
        assert np.ptp(alone) > 0.1
        np.testing.assert_allclose(logits, alone, atol=1e-5 * np.abs(alone).max())
        model = build_onnx(net.space.graph(arch), subnet.arrays(), batch=len(x))
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        onnx = session.run(None, {"input": x.contiguous().numpy()})[0]
        np.testing.assert_allclose(onnx, alone, atol=1e-4 * np.abs(alone).max())


def test_slices_lead_and_kernels_are_centred() -> None:
    shared = torch.arange(4 * 3 * 5 * 5).reshape(4, 3, 5, 5)
    part = cut_tensor(shared, Parameter((2, 1, 3, 3), "he", centred_axes=(2, 3)), "w")
    assert torch.equal(part, shared[:2, :1, 1:4, 1:4])
    with pytest.raises(EvaluatorError) as caught:
        cut_tensor(shared, Parameter((5, 3, 5, 5), "he"), "w")
    assert str(caught.value) == "weight w: it has shape (4, 3, 5, 5), a network needs (5, 3, 5, 5)"


def test_recalibration_over_one_batch_reproduces_the_batch(net: Supernet) -> None:
    """With the statistics of exactly one batch, evaluation of that batch equals its forward pass in training."""
    for arch in [net.largest, net.smallest]:
        x = inputs(net.space, arch)
        with torch.no_grad():
            train = net(x, arch).numpy()
            evaluated = net.subnet(arch, [x])(x).numpy()
        np.testing.assert_allclose(evaluated, train, atol=1e-4 * np.abs(train).max())


def test_recalibration_aggregates_mean_and_variance_over_batches(net: Supernet) -> None:
    """The first norm's statistics over unequal batches are those of all images together."""
    arch = net.smallest
    x = inputs(net.space, arch)
    stats = net.subnet(arch, [x[:15], x[15:]]).arrays()
    weight = torch.from_numpy(stats["stem.weight"])
    stem = torch.nn.functional.conv2d(x, weight, padding=1).double().transpose(0, 1).flatten(1)
    np.testing.assert_allclose(stats["stem.mean"], stem.mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(stats["stem.variance"], stem.var(1, correction=0), rtol=1e-4)


def test_shared_gradient_is_the_sum_over_subnets(net: Supernet) -> None:
    """Each subnet's gradient, computed on a stand-alone copy of its weights, added up at its place."""
    archs = [net.largest, net.smallest, *net.space.sample(2, np.random.default_rng(6))]
    target = torch.arange(8)
    expected = {name: torch.zeros_like(t) for name, t in net.shared().items()}
    net.zero_grad()
    for arch in archs:
        x = inputs(net.space, arch, 8)
        torch.nn.functional.cross_entropy(net(x, arch), target).backward()
        graph = expand(net.space.graph(arch))
        names = {n: p for n, p in graph_parameters(graph) if p.trainable}
        copies = {n: t.detach().clone().requires_grad_() for n, t in net.weights(arch).items()}
        logits = plain_forward(graph, x, copies)
        torch.nn.functional.cross_entropy(logits, target).backward()
        for name, copy in copies.items():
            if copy.grad is not None:
                cut_tensor(expected[name], names[name], name).add_(copy.grad)
    scale = max(float(t.abs().max()) for t in expected.values())
    for name, tensor in net.shared().items():
        got = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        np.testing.assert_allclose(got, expected[name], atol=2e-5 * scale, err_msg=name)


def test_trimming_kernels_changes_nothing() -> None:
    space = SPACES["mobilenetv3"]()
    net = Supernet(space)
    graph = expand(space.graph(net.largest))
    cut = trimmed(graph)
    kernels = [
        (a.op.integer("kernel"), b.op.integer("kernel"))
        for a, b in zip(graph.nodes, cut.nodes, strict=True)
        if a.op.kind == "conv" and a.op.inputs[0][1] == 2
    ]
    assert (7, 3) in kernels
    x = inputs(space, net.largest, 8)
    weights = net.weights(net.largest)
    with torch.no_grad():
        whole = plain_forward(graph, x, weights)
    np.testing.assert_allclose(net(x, net.largest).detach(), whole, atol=1e-4 * float(whole.abs().max()))


def test_kernels_of_every_rank_are_trimmed_axis_by_axis() -> None:
    cases = [
        (ops.conv((2, 3), 2, 9), 5),
        (ops.conv((2, 9), 2, 9, dilation=4), 5),
        (ops.conv((2, 3, 9), 2, 7), 7),
        (ops.conv((2, 3, 9), 2, (7, 5)), 5),
        (ops.conv((2, 1, 9, 3), 2, (3, 5, 7)), (1, 5, 5)),
        (ops.conv((2, 4, 8, 8), 2, (3, 5, 5)), (3, 5, 5)),
    ]
    for op, kernel in cases:
        graph = OpGraph.single(op)
        cut = trimmed(graph)
        assert dict(cut.nodes[0].op.attributes)["kernel"] == kernel
        net = GraphModule(graph)
        x = torch.randn(2, *op.inputs[0])
        small = {
            name: cut_tensor(getattr(net, name.replace(".", "/")), parameter, name).detach().numpy()
            for name, parameter in graph_parameters(cut)
        }
        torch.testing.assert_close(GraphModule(cut, small)(x), net(x), rtol=1e-4, atol=1e-5)


def test_initialisation_follows_the_seed() -> None:
    space = SPACES["nasbench201"]()
    one, same, other = (Supernet(space, seed=s).shared() for s in (0, 0, 1))
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert not torch.equal(one["stem.weight"], other["stem.weight"])
    weight = one["stage2.cell0.edge0.nor_conv_3x3.weight"]
    assert float(weight.detach().std()) == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.1)


def test_residual_branches_start_at_nothing() -> None:
    shared = Supernet(SPACES["mobilenetv3"]()).shared()
    assert not shared["stage1.block1.project.gamma"].any()
    assert bool((shared["stage1.block0.project.gamma"] == 1).all())


def test_unknown_weight_is_refused() -> None:
    net = Supernet(make_space("mobilenetv3", image_channels=1, resolution=8, width=0.1))
    other = SPACES["nasbench201"]()
    net.space = other
    with pytest.raises(EvaluatorError) as caught:
        net.weights(other.sample(1, np.random.default_rng(0))[0])
    assert str(caught.value) == "supernet of space nasbench201: it has no weight reduce1.conv_a.weight"


def test_batches_for_statistics_hold_all_classes_where_data_are_in_the_order_of_classes(tmp_path):
    data = digits(400)
    images, labels = data.train.images, data.train.labels
    order = np.argsort(labels, kind="stable")
    file = tmp_path / "sorted.npz"
    parts = {"train": order, "val": order[:20], "test": order[:20]}
    arrays = {f"x_{part}": images[rows].transpose(0, 2, 3, 1) for part, rows in parts.items()}
    np.savez(file, **arrays, **{f"y_{part}": labels[rows] for part, rows in parts.items()})
    task = make_task("image", str(file))
    by_image = {
        x.numpy().tobytes(): label
        for x, label in zip(
            task.inputs("train", np.arange(task.size("train")), (1, 8, 8)), task.data.train.labels, strict=True
        )
    }
    batches = list(sample_batches(task, 200, (1, 8, 8)))
    assert sum(len(batch) for batch in batches) == 200
    for batch in batches:
        assert len({by_image[x.contiguous().numpy().tobytes()] for x in batch}) > 6
