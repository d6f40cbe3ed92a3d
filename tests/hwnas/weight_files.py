"""Files of weights, and the names that torchvision and timm give the layers of MobileNetV3 and ResNet."""

import json

import numpy as np

LARGE = [  # kernel, expanded channels, channels, squeeze-excite (torchvision's mobilenet_v3_large, in order)
    (3, 16, 16, False),
    (3, 64, 24, False),
    (3, 72, 24, False),
    (5, 72, 40, True),
    (5, 120, 40, True),
    (5, 120, 40, True),
    (3, 240, 80, False),
    (3, 200, 80, False),
    (3, 184, 80, False),
    (3, 184, 80, False),
    (3, 480, 112, True),
    (3, 672, 112, True),
    (5, 672, 160, True),
    (5, 960, 160, True),
    (5, 960, 160, True),
]
TIMM_STAGES = (1, 2, 3, 4, 2, 3)
NARROWER = 8
"""All channels are divided by this, so that the tests are quick."""


def written(tensors, kinds=None):
    """A safetensors file; `kinds` says the dtype of each tensor that is not F32."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        kind = (kinds or {}).get(name, "F32")
        array = np.asarray(array, dtype=np.float32)
        if kind == "BF16":
            content = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            content = array.astype({"F32": "<f4", "F16": "<f2", "I64": "<i8", "F64": "<f8"}[kind]).tobytes()
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    return with_header(header, data)


def with_header(header, data):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + data


class StateDict:
    """Random tensors under PyTorch's names."""

    def __init__(self, seed=0):
        self.rng, self.tensors = np.random.default_rng(seed), {}

    def conv(self, name, *shape, norm=None, bias=False):
        self.tensors[f"{name}.weight"] = self.rng.standard_normal(shape).astype(np.float32)
        if bias:
            self.tensors[f"{name}.bias"] = self.rng.standard_normal(shape[0]).astype(np.float32)
        if norm is not None:
            for kind in ("weight", "bias", "running_mean", "running_var"):
                self.tensors[f"{norm}.{kind}"] = self.rng.random(shape[0], dtype=np.float32) + 0.5
            self.tensors[f"{norm}.num_batches_tracked"] = np.zeros(())


def _narrow(block):
    kernel, hidden, channels, squeeze = block
    return kernel, hidden // NARROWER, channels // NARROWER, hidden // 4 // NARROWER if squeeze else 0


def torchvision_mobilenetv3(classes=10):
    state, before = StateDict(), 16 // NARROWER
    state.conv("features.0.0", before, 3, 3, 3, norm="features.0.1")
    for number, (kernel, hidden, channels, squeeze) in enumerate(map(_narrow, LARGE), 1):
        name, part = f"features.{number}.block", 0
        if number > 1:
            state.conv(f"{name}.0.0", hidden, before, 1, 1, norm=f"{name}.0.1")
            part = 1
        state.conv(f"{name}.{part}.0", hidden, 1, kernel, kernel, norm=f"{name}.{part}.1")
        if squeeze:
            part += 1
            state.conv(f"{name}.{part}.fc1", squeeze, hidden, 1, 1, bias=True)
            state.conv(f"{name}.{part}.fc2", hidden, squeeze, 1, 1, bias=True)
        part += 1
        state.conv(f"{name}.{part}.0", channels, hidden, 1, 1, norm=f"{name}.{part}.1")
        before = channels
    state.conv("features.16.0", 960 // NARROWER, before, 1, 1, norm="features.16.1")
    state.conv("classifier.0", 1280, 960 // NARROWER, bias=True)
    state.conv("classifier.3", classes, 1280, bias=True)
    return state.tensors


def timm_mobilenetv3(classes=10):
    state, before, blocks = StateDict(), 16 // NARROWER, iter(map(_narrow, LARGE))
    state.conv("conv_stem", before, 3, 3, 3, norm="bn1")
    for stage, count in enumerate(TIMM_STAGES):
        for number in range(count):
            kernel, hidden, channels, squeeze = next(blocks)
            name, first = f"blocks.{stage}.{number}", stage == 0
            if not first:
                state.conv(f"{name}.conv_pw", hidden, before, 1, 1, norm=f"{name}.bn1")
            state.conv(f"{name}.conv_dw", hidden, 1, kernel, kernel, norm=f"{name}.{'bn1' if first else 'bn2'}")
            if squeeze:
                state.conv(f"{name}.se.conv_reduce", squeeze, hidden, 1, 1, bias=True)
                state.conv(f"{name}.se.conv_expand", hidden, squeeze, 1, 1, bias=True)
            last = ("conv_pw", "bn2") if first else ("conv_pwl", "bn3")
            state.conv(f"{name}.{last[0]}", channels, hidden, 1, 1, norm=f"{name}.{last[1]}")
            before = channels
    state.conv("blocks.6.0.conv", 960 // NARROWER, before, 1, 1, norm="blocks.6.0.bn1")
    state.conv("conv_head", 1280, 960 // NARROWER, 1, 1, bias=True)
    state.conv("classifier", classes, 1280, bias=True)
    return state.tensors


def resnet(classes=10, widths=(8, 16, 32, 64), blocks=2):
    """Names and order of a ResNet-18, the same in torchvision and timm."""
    state, before = StateDict(), widths[0]
    state.conv("conv1", before, 3, 7, 7, norm="bn1")
    for layer, width in enumerate(widths, 1):
        for number in range(blocks):
            name = f"layer{layer}.{number}"
            state.conv(f"{name}.conv1", width, before, 3, 3, norm=f"{name}.bn1")
            state.conv(f"{name}.conv2", width, width, 3, 3, norm=f"{name}.bn2")
            if before != width:
                state.conv(f"{name}.downsample.0", width, before, 1, 1, norm=f"{name}.downsample.1")
            before = width
    state.conv("fc", classes, before, bias=True)
    return state.tensors
