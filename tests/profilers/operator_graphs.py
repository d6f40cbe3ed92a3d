"""Graphs of one op, and how they are run in torch and ONNX Runtime."""

import numpy as np
import torch

from latency_tables import INPUT, GraphBuilder
from profilers import make_session


def graph_of(op):
    """`op` alone; each of its inputs is an input of the graph."""
    names = [f"{INPUT}_{i}" if i else INPUT for i in range(len(op.inputs))]
    builder = GraphBuilder(dict(zip(names, op.inputs, strict=True)))
    return builder.build(builder.add("op", op, *names))


def lively(module):
    """The module with batch norms and biases that would show a wrong fold, in evaluation mode."""
    torch.manual_seed(0)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        with torch.no_grad():
            if name.endswith(("gamma", "variance")):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("beta", "mean", "bias")):
                tensor.uniform_(-0.5, 0.5)
    return module.eval()


def draw(graph, batch):
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal((batch, *shape), dtype=np.float32) for name, shape in graph.inputs}


def run_torch(module, values):
    result = module(*map(torch.from_numpy, values.values()))
    return [y.detach().numpy() for y in (result if isinstance(result, tuple) else (result,))]


def run_onnx(model, values):
    return make_session(model.SerializeToString(), threads=1).run(None, values)
