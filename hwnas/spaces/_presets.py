"""Members of the MobileNetV3 family: fixed parts and ranges of choice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Blocks of one width: channels at width 1, stride of the first block, activation, squeeze-excite or not."""

    channels: int
    stride: int
    act: str
    squeeze: bool


@dataclass(frozen=True)
class Preset:
    """Fixed parts and ranges of one member of the family; `fixed` is a block without choices after the stem."""

    stem: tuple[int, int]
    fixed: Stage | None
    stages: tuple[Stage, ...]
    head: tuple[int, int]
    depths: tuple[int, ...]
    expansions: tuple[int, ...]
    widths: tuple[float, ...]
    resolutions: tuple[int, ...]
    limits: tuple[int, int]


PRESETS = {
    "tiny": Preset(
        stem=(16, 1),
        fixed=None,
        stages=(
            Stage(16, 1, "relu", False),
            Stage(24, 2, "relu", True),
            Stage(40, 2, "hswish", False),
            Stage(64, 1, "hswish", True),
            Stage(96, 2, "hswish", True),
        ),
        head=(192, 0),
        depths=(1, 2, 3),
        expansions=(2, 4, 6),
        widths=(0.5, 0.75, 1.0),
        resolutions=(32,),
        limits=(8, 32),
    ),
    "imagenet": Preset(
        stem=(16, 2),
        fixed=Stage(16, 1, "relu", False),
        stages=(
            Stage(24, 2, "relu", False),
            Stage(40, 2, "relu", True),
            Stage(80, 2, "hswish", False),
            Stage(112, 1, "hswish", True),
            Stage(160, 2, "hswish", True),
        ),
        head=(960, 1280),
        depths=(2, 3, 4),
        expansions=(3, 4, 6),
        widths=(0.75, 1.0),
        resolutions=(160, 176, 192, 224),
        limits=(128, 224),
    ),
}
"""`imagenet` has the stages of MobileNetV3-Large (Howard et al. 2019, arXiv 1905.02244, table 1) and the ranges of
Once-for-All (Cai et al. 2020, arXiv 1908.09791, section 4.1); `tiny` is the same family cut down to small images."""
