"""Graphs of one op, and how they are run in torch and ONNX Runtime."""

import torch

from hwnas.testing._operators import draw_inputs, graph_of, run_onnx, run_torch

__all__ = ["draw", "graph_of", "lively", "run_onnx", "run_torch"]
draw = draw_inputs


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
