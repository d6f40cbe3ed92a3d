"""What exports write in their own forms: chains of element-wise nodes, factors of channels, parts of channels."""

import numpy as np
import pytest
from graphs import File, checked, kinds, run

from latency_tables import INPUT
from profilers import build_onnx

S = (1, 8, 7, 9)
f = np.float32


def hard_swish(file, x, *, divided_first=False, clip="Clip"):
    y = file.add("Clip", file.add("Add", x, f(3)), f(0), f(6))
    if clip == "MinMax":
        y = file.add("Min", file.add("Max", file.add("Add", f(3), x), f(0)), f(6))
    if divided_first:
        return file.add("Mul", file.add("Div", y, f(6)), x)
    return file.add("Mul", file.add("Mul", x, y), f(1 / 6))


def gelu(file, x, *, halved_first=False):
    error = file.add("Add", file.add("Erf", file.add("Mul", x, f(2**-0.5))), f(1))
    if halved_first:
        return file.add("Mul", file.add("Mul", f([0.5]), x), error)
    return file.add("Mul", file.add("Mul", x, error), f(0.5))


FORMS = {
    "x clip(x + 3, 0, 6) / 6": (hard_swish, "hswish"),
    "x (clip(x + 3, 0, 6) / 6)": (lambda file, x: hard_swish(file, x, divided_first=True), "hswish"),
    "x min(max(x + 3, 0), 6) / 6": (lambda file, x: hard_swish(file, x, clip="MinMax"), "hswish"),
    "clip(x + 3, 0, 6) / 6": (
        lambda file, x: file.add("Div", file.add("Clip", file.add("Add", x, f(3)), f(0), f(6)), f(6)),
        "hsigmoid",
    ),
    "clip(x / 6 + 1/2, 0, 1)": (
        lambda file, x: file.add("Clip", file.add("Add", file.add("Mul", x, f(1 / 6)), f(0.5)), f(0), f(1)),
        "hsigmoid",
    ),
    "x (1 + erf(x / sqrt 2)) / 2": (gelu, "gelu"),
    "x / 2 (1 + erf(x / sqrt 2))": (lambda file, x: gelu(file, x, halved_first=True), "gelu"),
    "1 / (1 + exp(-x))": (
        lambda file, x: file.add("Reciprocal", file.add("Add", file.add("Exp", file.add("Neg", x)), f(1))),
        "sigmoid",
    ),
    "x sigmoid(x)": (lambda file, x: file.add("Mul", x, file.add("Sigmoid", x)), "silu"),
    "min(relu(x), 6)": (lambda file, x: file.add("Min", file.add("Relu", x), f(6)), "relu6"),
    "max(0, x, -1)": (lambda file, x: file.add("Max", f(0), x, f(-1)), "relu"),
    "max(x, 0)": (lambda file, x: file.add("Max", x, f(0)), "relu"),
}


def convolved(file):
    return file.add("Conv", "x", file.draw(8, 8, 1, 1), file.draw(8))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("behind_convolution", [False, True])
def test_activations_in_any_form(form, behind_convolution):
    write, function = FORMS[form]
    file = File(*S)
    read = checked(file.model(write(file, convolved(file) if behind_convolution else "x")))
    assert kinds(read) == ["conv"] * behind_convolution + ["activation"]
    assert read.graph.nodes[-1].op.word("function") == function


def test_chains_that_are_no_activation_stay_what_they_are():
    file = File(*S)  # the absolute value, by three inputs
    read = checked(file.model(file.add("Relu", file.add("Max", file.add("Neg", "x"), f(-1), "x"))))
    assert "Max" in [op_type for _, op_type, _ in read.generic]
    file = File(*S)  # 3.1 and 7 are not those of hswish
    gate = file.add("Clip", file.add("Add", "x", f(3.1)), f(0), f(7))
    read = checked(file.model(file.add("Div", file.add("Mul", "x", gate), f(6))))
    assert [op_type for _, op_type, _ in read.generic] == ["Clip"]
    file = File(*S)  # the factors differ between channels
    gate = file.add("Clip", file.add("Add", "x", file.draw(8, 1, 1)), f(0), f(6))
    assert kinds(checked(file.model(file.add("Mul", "x", gate)))) == ["norm", "activation", "mul"]


@pytest.mark.parametrize("high", [40.0, 255.0, 1e4, 1e30])
def test_a_bound_far_away_is_not_lost(high):
    for write in (
        lambda file: file.add("Clip", "x", f(0), f(high)),
        lambda file: file.add("Min", file.add("Relu", "x"), f(high)),
        lambda file: file.add("Max", file.add("Min", "x", f(high)), f(0)),
    ):
        file = File(*S)
        assert checked(file.model(write(file))).generic
    file = File(*S)
    assert kinds(checked(file.model(file.add("Clip", "x", f(0), np.finfo(np.float32).max)))) == ["activation"]


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.5), (0.25, 0.4)])
def test_other_slopes_of_hard_sigmoid_scale_the_layer_before(alpha, beta):
    for layer, names in (("Conv", ["conv"]), ("none", ["norm"]), ("Relu", ["activation", "norm"])):
        file = File(*S)
        y = convolved(file) if layer == "Conv" else file.add("Relu", "x") if layer == "Relu" else "x"
        y = file.add("HardSigmoid", y, alpha=alpha, beta=beta)
        assert kinds(checked(file.model(y))) == [*names, "activation"]
    file = File(*S)  # the convolution has other readers: it stays as it is
    y = convolved(file)
    y = file.add("Add", file.add("HardSigmoid", y, alpha=alpha, beta=beta), y)
    assert kinds(checked(file.model(y))) == ["conv", "norm", "activation", "add"]
    file = File(*S)  # another name of the convolution has one
    y = convolved(file)
    same = file.add("Identity", y)
    y = file.add("Add", file.add("HardSigmoid", same, alpha=alpha, beta=beta), file.add("Relu", y))
    assert kinds(checked(file.model(y))) == ["conv", "norm", "activation", "activation", "add"]
    file = File(*S)  # without bias, it gets one; a linear layer and a norm are scaled as well
    y = file.add("Conv", "x", file.draw(8, 8, 1, 1))
    checked(file.model(file.add("HardSigmoid", y, alpha=alpha, beta=beta)))
    file = File(1, 8)
    y = file.add("Gemm", "x", file.draw(8, 4), file.draw(4))
    assert kinds(checked(file.model(file.add("HardSigmoid", y, alpha=alpha, beta=beta)))) == ["linear", "activation"]


def test_factors_and_shifts_without_a_layer_are_a_norm():
    file = File(*S)
    y = file.add("Mul", file.add("Sub", f(1), file.add("Relu", "x")), file.draw(8, 1, 1))
    y = file.add("BatchNormalization", y, *file.statistics(8))
    assert kinds(checked(file.model(file.add("Div", y, f(-2))))) == ["activation", "norm"]
    file = File(*S)  # within a channel the factors differ
    assert kinds(checked(file.model(file.add("Mul", "x", file.draw(9))))) == ["onnx"]


def test_parts_of_channels():
    file = File(*S)
    first, second = file.add("Split", "x", np.array([3, 5]), outputs=2, axis=1)
    y = file.add("Slice", second, np.array([-4]), np.array([9]), np.array([-3]))
    y = file.add("Concat", y, first, file.add("Gather", "x", np.array([2, 3]), axis=1), axis=1)
    y = file.add("Add", y, file.add("Unsqueeze", file.add("Gather", "x", np.array(-1), axis=1), np.array([1])))
    read = checked(file.model(y))
    assert kinds(read).count("slice") == 5
    assert [op_type for _, op_type, _ in read.generic] == ["Add"]  # it is broadcast over channels
    for old in (9, 11):
        file = File(*S, opset=old)
        parts = file.add("Split", "x", outputs=4, axis=1)
        y = file.add("Add", parts[0], parts[3])
        assert kinds(checked(file.model(y))) == ["slice", "slice", "add"]


@pytest.mark.parametrize(
    ("slices", "kind"),
    [(([0], [9], [2], [2]), "onnx"), (([7], [0], [1], [-1]), "onnx"), (([0], [3], [2]), "onnx"),
     (([0, 2], [9, 6], [2, 1]), "slice"), (([0], [99], [3]), None)],
)  # fmt: skip
def test_slices(slices, kind):
    file = File(*S)
    y = file.add("Slice", file.add("Relu", "x"), *map(np.array, slices))
    assert kinds(checked(file.model(y))) == ["activation", *([kind] if kind else [])]


@pytest.mark.parametrize(
    ("attributes", "scales", "kind"),
    [
        ({"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, [1, 1, 2, 3], "upsample"),
        ({}, [1, 1, 4, 3], "upsample"),
        ({"coordinate_transformation_mode": "asymmetric"}, [1, 1, 2, 1], "upsample"),
        ({"coordinate_transformation_mode": "asymmetric"}, [1, 1, 3, 3], "onnx"),
        ({"coordinate_transformation_mode": "align_corners"}, [1, 1, 2, 2], "onnx"),
        ({"mode": "linear"}, [1, 1, 2, 2], "onnx"),
        ({"nearest_mode": "floor"}, [1, 1, 2, 2], "onnx"),
        ({"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, [1, 1, 2.1, 2], "onnx"),
        ({"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}, [1, 2, 2, 2], "onnx"),
    ],
)
def test_resizing(attributes, scales, kind):
    file = File(*S)
    assert kinds(checked(file.model(file.add("Resize", "x", "", f(scales), **attributes)))) == [kind]
    sizes = np.array([n * int(s) for n, s in zip(S, scales, strict=True)])
    if all(float(scale).is_integer() for scale in scales):
        file = File(*S)
        assert kinds(checked(file.model(file.add("Resize", "x", "", "", sizes, **attributes)))) == [kind]


def test_upsampling_of_old_opsets():
    file = File(*S, opset=9)
    assert kinds(checked(file.model(file.add("Upsample", "x", f([1, 1, 2, 2]))))) == ["upsample"]


@pytest.mark.parametrize(("op_type", "opset"), [("Upsample", 9), ("Resize", 10)])
@pytest.mark.parametrize(("mode", "scale"), [("linear", 2.0), ("nearest", 1.5)])
def test_old_resizing_keeps_its_places(op_type, opset, mode, scale):
    file = File(*S, opset=opset)
    checked(file.model(file.add(op_type, "x", f([1, 1, scale, scale]), mode=mode)))


def test_transposed_convolutions_whose_windows_do_not_overlap():
    for bias in (False, True):
        file = File(*S)
        weight = file.draw(8, 5, 2, 3)
        y = file.add("ConvTranspose", "x", weight, *([file.draw(5)] if bias else []), strides=[2, 3])
        y = file.add("BatchNormalization", file.add("Add", y, file.draw(1, 5, 1, 1)), *file.statistics(5))
        assert kinds(checked(file.model(y))) == ["conv", "reshape", "transpose", "reshape"]
    for attributes in ({"strides": [1, 3]}, {"strides": [2, 3], "pads": [1, 0, 0, 0]}, {"strides": [3, 3]}):
        file = File(*S)
        assert kinds(checked(file.model(file.add("ConvTranspose", "x", file.draw(8, 5, 2, 3), **attributes)))) == [
            "onnx"
        ]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_that_become_pixels(mode):
    file = File(*S)
    y = file.add("DepthToSpace", "x", blocksize=2, mode=mode)
    assert kinds(checked(file.model(y))) == ["reshape", "transpose", "reshape"]


def test_zeros_around_a_map_join_the_convolution_that_reads_it():
    pads = np.array([0, 0, 1, 2, 0, 0, 0, 1])
    file = File(*S)
    y = file.add("Conv", file.add("Pad", "x", pads), file.draw(6, 8, 3, 3), strides=[2, 2], pads=[0, 0, 1, 0])
    read = checked(file.model(y))
    assert kinds(read) == ["conv"]
    assert "pads=1x2x1x1" in read.graph.nodes[0].op.key
    for more in ({"mode": "edge"}, {}):
        file = File(*S)
        y = file.add("Pad", "x", pads, *([] if more else [f(1)]), **more)
        assert kinds(checked(file.model(file.add("Conv", y, file.draw(6, 8, 3, 3))))) == ["onnx", "conv"]


EPSILONS = {
    "log clip(x, e)": lambda file, e: file.add("Log", file.add("Clip", "x", f(e))),
    "log (relu(x) + e)": lambda file, e: file.add("Log", file.add("Add", file.add("Relu", "x"), f(e))),
    "1 / clip(sigmoid(x), e, 1 - e)": lambda file, e: file.add(
        "Reciprocal", file.add("Clip", file.add("Sigmoid", "x"), f(e), f(1 - e))
    ),
    "log (1 - clip(sigmoid(x), e, 1 - e))": lambda file, e: file.add(
        "Log", file.add("Sub", f(1), file.add("Clip", file.add("Sigmoid", "x"), f(e), f(1 - e)))
    ),
    "log clip(hsigmoid(x), e)": lambda file, e: file.add(
        "Log", file.add("Clip", file.add("HardSigmoid", "x", alpha=1 / 6, beta=0.5), f(e))
    ),
}


@pytest.mark.parametrize("epsilon", [1e-5, 1e-6])
@pytest.mark.parametrize("form", EPSILONS)
def test_a_small_number_that_keeps_away_from_zero_is_not_lost(form, epsilon):
    file = File(*S)
    model = file.model(EPSILONS[form](file, epsilon))
    read = checked(model)
    x = np.full((1, *S[1:]), -100, f)
    x[0, 0] = 100
    built = build_onnx(read.graph, read.weights)
    (there,), (here,) = (
        run(content.SerializeToString(), {name: x}) for content, name in ((model, "x"), (built, INPUT))
    )
    assert np.isfinite(there).all()
    np.testing.assert_allclose(here, there, rtol=1e-3)
