"""Small spaces and data that the training and evaluator tests share."""

from __future__ import annotations

from functools import cache

import torch

from hwnas.data import ImageData, load_data
from hwnas.spaces import Space, make_space
from hwnas.tasks import ImageClassification

torch.set_num_threads(1)  # small tensors, and the same bits on every machine


@cache
def digits(limit: int = 200) -> ImageData:
    return load_data("digits", limit=limit)


@cache
def digits_task(limit: int = 200) -> ImageClassification:
    return ImageClassification(digits(limit))


def mobile() -> Space:
    return make_space("mobilenetv3", image_channels=1, resolution=[8, 10], width=[0.1, 0.25])


def cells() -> Space:
    return make_space("nasbench201", image_size=8, image_channels=1, cells=1, channels=4)


SPACES = {"mobilenetv3": mobile, "nasbench201": cells}
