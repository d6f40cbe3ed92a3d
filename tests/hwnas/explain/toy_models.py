"""Small ONNX models, and runnables whose true times are known."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def weights(rng, **shapes):
    return [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in shapes.items()]


def model_of(nodes, inputs, outputs, initializers, opset=17):
    """A model with float tensors, ``{name: shape}`` of inputs and outputs."""
    info = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in t.items()] for t in (inputs, outputs)]
    graph = helper.make_graph(nodes, "toy", *info, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def small_model(batch=1):
    """One convolution."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1])
    shapes = {"x": [batch, 3, 8, 8]}, {"y": [batch, 8, 8, 8]}
    return model_of([node], *shapes, weights(np.random.default_rng(0), w=(8, 3, 3, 3)))


def residual_model():
    """Unaligned convolutions: a residual sum, a depthwise one, squeeze-excite, a concat, SiLU, and a dense head."""
    make, rng = helper.make_node, np.random.default_rng(1)
    shapes = {"w0": (20, 3, 3, 3), "b0": (20,), "w1": (20, 20, 1, 1), "wd": (20, 1, 3, 3), "ws": (20, 20, 1, 1)}
    shapes |= {"w2": (10, 20, 1, 1), "wl": (5, 30), "c": (1, 20, 1, 1)}
    nodes = [
        make("Conv", ["x", "w0", "b0"], ["t0"], "stem", pads=[1, 1, 1, 1]),
        make("Relu", ["t0"], ["t1"], "relu"),
        make("Conv", ["t1", "w1"], ["t2"], "expand"),
        make("Sigmoid", ["t2"], ["t3"], "sigmoid"),
        make("Mul", ["t2", "t3"], ["t4"], "silu"),
        make("Conv", ["t4", "wd"], ["t5"], "depthwise", group=20, pads=[1, 1, 1, 1]),
        make("GlobalAveragePool", ["t5"], ["t6"], "squeeze"),
        make("Conv", ["t6", "ws"], ["t7"], "excite"),
        make("HardSigmoid", ["t7"], ["t8"], "gate"),
        make("Mul", ["t5", "t8"], ["t9"], "scale"),
        make("Add", ["t9", "t1"], ["t10"], "sum"),
        make("Mul", ["t10", "c"], ["t10c"], "constants"),
        make("Conv", ["t10c", "w2"], ["t11"], "branch"),
        make("Concat", ["t10c", "t11"], ["t12"], "concat", axis=1),
        make("GlobalAveragePool", ["t12"], ["t13"], "pool"),
        make("Flatten", ["t13"], ["t14"], "flatten"),
        make("Gemm", ["t14", "wl"], ["y"], "head", transB=1),
    ]
    return model_of(nodes, {"x": [1, 3, 8, 8]}, {"y": [1, 5]}, weights(rng, **shapes))


def outputs_of(model, seed=0):
    """What a model computes for random inputs."""
    from profilers import make_session

    data = model if isinstance(model, bytes) else model.SerializeToString()
    session = make_session(data, threads=1)
    rng = np.random.default_rng(seed)
    return session.run(None, {i.name: rng.standard_normal(i.shape, dtype=np.float32) for i in session.get_inputs()})


class Steady:
    """Takes so many seconds, with noise of a thousandth; nothing is waited for."""

    def __init__(self, seconds, seed=0):
        self.seconds, self.rng = seconds, np.random.default_rng(seed)

    def run(self, repeats):
        return float(self.seconds * repeats * (1 + 1e-3 * self.rng.random()))
