"""Random graphs of sums, concats, groups, depthwise convolutions, pools and odd nodes: read, built again, compared."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import File, checked, kinds

from profilers import read_onnx

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def random_file(seed):
    file = File(1, 8, 8, 8, seed=seed)
    rng = np.random.default_rng(seed)
    values = [("x", 8, 8)]
    for _ in range(14):
        name, c, n = values[rng.integers(len(values))]
        same = [value for value in values if value[2] == n]
        other, oc, _ = same[rng.integers(len(same))]
        kind = rng.integers(12)
        if kind in (0, 1):
            groups = int(rng.choice([1, 2, 4]))
            out, bias = 4 * int(rng.integers(1, 4)), [[], [file.draw(12)]][rng.integers(2)]
            bias = [value[:out] for value in bias]
            weight = file.draw(out, c // groups, 3, 3) / 9
            y = file.add("Conv", name, weight, *bias, group=groups, pads=[1] * 4)
            values.append((file.add("BatchNormalization", y, *file.statistics(out)) if kind else y, out, n))
        elif kind == 2:
            y = file.add("Conv", name, file.draw(c, 1, 3, 3), group=c, pads=[1] * 4)
            values.append((file.add("Clip", y, np.float32(0), np.float32(6)), c, n))
        elif kind == 3 and c == oc:
            values.append((file.add("Add", name, other), c, n))
        elif kind == 4 and c + oc <= 24:
            values.append((file.add("Concat", name, other, axis=1), c + oc, n))
        elif kind == 5 and n > 2:
            op = ["MaxPool", "AveragePool"][rng.integers(2)]
            values.append((file.add(op, name, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), c, (n + 1) // 2))
        elif kind == 6:
            gate = file.add("Sigmoid", file.add("Conv", file.add("GlobalAveragePool", name), file.draw(c, c, 1, 1)))
            values.append((file.add("Mul", name, gate), c, n))
        elif kind == 7:
            values.append((file.add("LRN", name, size=3), c, n))
        elif kind == 8:
            y = file.add("Transpose", file.add("Reshape", name, np.array([0, 2, -1, n, n])), perm=[0, 2, 1, 3, 4])
            values.append((file.add("Reshape", y, np.array([1, c, n, n])), c, n))
        elif kind == 9:
            first, _ = file.add("Split", name, np.array([c // 2, c // 2]), outputs=2, axis=1)
            values.append((file.add("Concat", file.add("Abs", first), first, axis=1), c, n))
        elif kind == 10:
            y = file.add(
                "Transpose", file.add("Softmax", file.add("Transpose", name, perm=[1, 0, 2, 3])), perm=[1, 0, 2, 3]
            )
            values.append((y, c, n))
        elif kind == 11:
            values.append((file.add("Mul", file.add("HardSigmoid", name, alpha=1 / 6), name), c, n))
    name, c, _ = values[-1]
    y = file.add("Flatten", file.add("GlobalAveragePool", name))
    return file.model(file.add("Gemm", y, file.draw(c, 5), file.draw(5)), name)


@pytest.mark.parametrize("seed", range(12))
def test_random_graphs_compute_what_the_file_computes(seed):
    checked(random_file(seed))


@pytest.mark.parametrize(
    ("name", "generic"),
    [
        ("squeezenet", 0),
        ("shufflenet", 0),
        ("resnet50", 0),
        ("densenet121", 0),
        ("inception_v1", 2),
        ("inception_v2", 0),
    ],
)
def test_light_graphs_are_read(name, generic):
    read = read_onnx(LIGHT / f"light_{name}.onnx")
    assert [entry[1] for entry in read.generic] == ["LRN"] * generic
    assert "conv" in kinds(read)
    assert read.graph.input_shape == (3, 224, 224)


def test_a_light_graph_computes_what_the_file_computes():
    checked((LIGHT / "light_squeezenet.onnx").read_bytes())
