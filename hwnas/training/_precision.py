"""The number format that trainings compute in: `Recipe.train_precision`. torch is loaded once it is needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from hwnas.training._recipe import Recipe

Computing = Callable[[], AbstractContextManager[object]]
"""Returns the context in which a training computes outputs and their gradients."""


def native_precision(device: str) -> str:
    """Return the format that a device trains fastest in: ``"bf16"`` where it multiplies bfloat16 itself, or ``"fp32"``.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
    """
    multiplies = _gpu_multiplies_bfloat16(device) if device.startswith("cuda") else _cpu_multiplies_bfloat16()
    return "bf16" if multiplies else "fp32"


def usual_precision(device: str) -> str:
    """Return the format of a recipe that names none: float32 on a CPU, bfloat16 on a GPU."""
    return "bf16" if device.startswith("cuda") else "fp32"


def computing(recipe: Recipe, device: str) -> Computing:
    """Return the context in which a training computes.

    In bfloat16 (`torch.autocast`) convolutions and linear layers multiply bfloat16 numbers and add them up in float32,
    and activations are kept in bfloat16. Weights, their gradients and moments, statistics of batch norms and losses are
    in float32.
    """
    import torch

    half, kind = computes_in_half(recipe, device), device.partition(":")[0]
    return lambda: torch.autocast(kind, torch.bfloat16, enabled=half)


def computes_in_half(recipe: Recipe, device: str) -> bool:
    """Return whether a training computes in bfloat16 on a device."""
    return (recipe.train_precision or usual_precision(device)) == "bf16"


def _gpu_multiplies_bfloat16(device: str) -> bool:
    """Return whether a GPU has instructions for products of bfloat16 numbers; True where there is no GPU here."""
    import torch

    if not torch.cuda.is_available():
        return True
    return bool(torch.cuda.get_device_capability(device) >= (8, 0))


def _cpu_multiplies_bfloat16() -> bool:
    """Return whether the CPU has instructions for products of bfloat16 numbers, and torch the library that uses them.

    Without them torch computes bfloat16 by way of float32, which is slower than float32 itself.
    """
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    tests = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(bool(test()) for test in tests if test is not None)  # torch before 2.9
