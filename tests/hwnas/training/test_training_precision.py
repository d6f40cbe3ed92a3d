"""Trainings in bfloat16: resumable bit for bit, told from others, and near those in float32."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from training_toys import cells, digits_task, mobile

from hwnas._errors import EvaluatorError
from hwnas.tasks import ImageClassification
from hwnas.training import (
    Recipe,
    StepProgress,
    Supernet,
    default_recipe,
    native_precision,
    score_network,
    train_network,
    train_supernet,
)
from hwnas.training._batches import TrainLoader, made_ahead
from hwnas.training._memory import kept_memory
from hwnas.training._precision import computes_in_half, computing
from profilers import GraphModule


class Stopped(Exception):
    """Stands for a process that was killed."""


def stop_after(steps: int) -> StepProgress:
    def progress(done: int, total: int, text: str) -> None:
        if done == steps:
            raise Stopped

    return progress


def recipe_of(precision: str | None = "bf16", **changes: object) -> Recipe:
    return default_recipe(digits_task(), epochs=3, batch_size=20, train_precision=precision, **changes)


def network(
    precision: str | None, checkpoint: Path | None = None, progress: StepProgress | None = None, **changes: object
) -> GraphModule:
    space = mobile()
    graph = space.graph(space.sample(1, np.random.default_rng(0))[0])
    return train_network(
        graph, digits_task(), recipe_of(precision, **changes), checkpoint=checkpoint, progress=progress
    )


def network_state(checkpoint: Path | None, progress: StepProgress | None = None) -> dict[str, Tensor]:
    return dict(network("bf16", checkpoint, progress, average=0.9).state_dict())


def supernet_state(checkpoint: Path | None, progress: StepProgress | None = None) -> dict[str, Tensor]:
    net = Supernet(cells(), seed=1)
    train_supernet(net, digits_task(), recipe_of(), checkpoint=checkpoint, progress=progress)
    return {name: tensor.detach() for name, tensor in net.shared().items()}


@pytest.mark.parametrize("train", [network_state, supernet_state])
def test_a_killed_training_in_bfloat16_resumes_to_the_same_bits(tmp_path, train) -> None:
    unbroken = train(None)
    with pytest.raises(Stopped):
        train(tmp_path / "net.pt", stop_after(9))
    resumed = train(tmp_path / "net.pt")
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


def test_weights_and_statistics_stay_in_float32() -> None:
    half, whole = network("bf16"), network("fp32")
    assert {tensor.dtype for tensor in half.state_dict().values()} == {torch.float32}
    pairs = list(zip(half.state_dict().values(), whole.state_dict().values(), strict=True))
    assert not all(torch.equal(a, b) for a, b in pairs)
    data = digits_task()
    scores = [score_network(net, data, "validation", net.graph.input_shape) for net in (half, whole)]
    assert abs(scores[0] - scores[1]) < 0.2


def test_float32_on_a_cpu_is_what_earlier_versions_did(tmp_path) -> None:
    before = network(None, tmp_path / "net.pt").state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in network("fp32").state_dict().items())
    with pytest.raises(EvaluatorError, match=r"belongs to recipe .* use another folder or remove it"):
        network("bf16", tmp_path / "net.pt")
    assert "train_precision" not in recipe_of(None).as_dict()
    assert recipe_of("bf16").as_dict()["train_precision"] == "bf16"
    with pytest.raises(EvaluatorError, match="unknown train_precision 'fp16'; known: fp32, bf16"):
        recipe_of("fp16")


@pytest.mark.parametrize(
    ("precision", "device", "half"),
    [
        (None, "cpu", False),
        (None, "cuda", True),
        ("bf16", "cpu", True),
        ("fp32", "cuda:0", False),
        ("bf16", "cuda", True),
    ],
)
def test_who_computes_in_bfloat16(precision: str | None, device: str, half: bool) -> None:
    assert computes_in_half(recipe_of(precision), device) is half
    if device == "cpu":
        with computing(recipe_of(precision), device)():
            assert torch.is_autocast_enabled("cpu") is half


def test_the_native_format_follows_the_instructions(monkeypatch) -> None:
    facts: dict[str, bool] = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: facts, raising=False)
    assert native_precision("cpu") == "fp32"
    assert native_precision("cuda:1") == "bf16"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, format_ in (((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert native_precision("cuda:1") == format_
    facts["avx512_bf16"] = True
    assert native_precision("cpu") == "bf16"
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert native_precision("cpu") == "fp32"


def test_batches_made_ahead_are_the_same() -> None:
    task = digits_task()
    loader = TrainLoader(task, recipe_of(), task.input_shape, "cpu")
    plain = list(loader.epoch(np.random.default_rng(3)))
    ahead = list(made_ahead(loader.epoch(np.random.default_rng(3))))
    assert len(plain) == len(ahead) == len(loader)
    for (x, y), (u, v) in zip(plain, ahead, strict=True):
        assert torch.equal(x, u)
        assert torch.equal(y, v)


def test_an_error_in_a_batch_that_is_made_ahead_is_raised(monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no such sample")

    monkeypatch.setattr(ImageClassification, "augment", broken)
    with pytest.raises(ValueError, match="no such sample"):
        network("fp32")


def test_memory_is_kept_for_a_while_and_changes_nothing() -> None:
    with kept_memory():
        inside = torch.arange(1e6).sum()
    assert torch.equal(inside, torch.arange(1e6).sum())


def faults() -> int:
    """Count the new pages that five tensors of 48 MB touch, which glibc would return to the system each time."""
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(12_000_000)
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


def require_no_new_pages() -> None:
    usual = faults()
    with kept_memory():
        faults()  # the first ones take what later ones get again, unless small tensors lie between
        kept = faults()
    assert kept < usual / 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc")
def test_steps_in_kept_memory_touch_no_new_pages() -> None:
    """In a process of its own: what other tests left free would serve the first tensors, too."""
    process = multiprocessing.get_context("spawn").Process(target=require_no_new_pages)
    process.start()
    process.join()
    assert process.exitcode == 0
