"""What of a trained model a search would leave out: `derive`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas._api._given import quiet, refuse_options
from hwnas._common._option import dashed
from hwnas._costs._cost import LATENCY, bound_of
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._pipeline._given_model import given_lines
from hwnas._pipeline._model import OF_THE_FILE, derived_of
from hwnas._pipeline._reach import reach_of
from hwnas._runs._options import SETTINGS, default
from hwnas.spaces import Derived, describe_lines
from hwnas.tasks import DataSet, Task, as_task, make_task
from profilers import Backend, ReadModel, from_torch, read_onnx

if TYPE_CHECKING:
    import torch
    from torch import nn


def derive(
    model: str | Path | ReadModel | nn.Module,
    data: Task | DataSet | str | Path | None = None,
    example: torch.Tensor | None = None,
    *,
    input_scaling: str | None = None,
    image_size: int | None = None,
    data_limit: int | None = None,
    space_settings: Mapping[str, Any] | Sequence[str] | None = None,
    latency_budget: str | float | None = None,
    device: str | Backend | None = None,
    threads: int | None = None,
    progress: Callable[[str], None] = quiet,
    **options: Any,
) -> Derived:
    """Derive the space of a trained model; nothing is trained.

    Args:
        model: An ONNX file, what `read_onnx` or `from_torch` returned, or a torch module with an `example`.
        data: What ``--data`` takes, or a task. With data, channels are ordered by what they matter for the loss, and
            batch norms that are put back get its statistics. None for an order by the weights alone.
        example: Input of a torch module ``(1, ...)``.
        input_scaling: How pixels become inputs, as ``--input-scaling``; None for mean and deviation of the train part.
        image_size: Size to load images at; None to keep theirs.
        data_limit: Use at most this many samples of each part.
        space_settings: Options of the space, also texts like ``keep=head``, as ``--space-option`` takes them.
        latency_budget: Latency budget of the search (median, batch 1, fp32). ``widths`` and ``resolutions`` that are
            left open then reach as far below the model as the budget needs, for which a few networks are measured.
            None for all default values.
        device: What measures then, as for `profile`; None for this machine's processor.
        threads: Threads inside an operator then; None for one.
        progress: Receives what would be searched, and what not and why.
        options: The same options by name: ``keep``, ``widths``, ``step``, ``depth``, ``kernels``, ``resolutions``,
            ``importance`` and ``norms``, as in docs/derive.md.

    Returns:
        The space (``space``), the weights that its networks start from (``weights``), and what is not searched
        (``notes``).

    Raises:
        HwnasError, ProfilerError: One line each (see `Errors`).
    """
    options = {**(SETTINGS["space_settings"].read(space_settings) or {}), **options}
    _require_data(data, input_scaling=input_scaling, image_size=image_size, data_limit=data_limit)
    bound, backend = _measured_budget(latency_budget, device, threads)
    read = _read(model, example)
    for line in _untrainable(read):
        progress(line)
    if backend is not None and not read.generic:
        options = reach_of(read, options, bound, backend, progress)
    derived = derived_of(read, options)
    for line in describe_lines(derived):
        progress(line)
    task = _task(data, input_scaling, image_size, data_limit)
    if task is None or read.generic:
        return derived
    task.require_fit(derived.space)
    from hwnas.training import default_recipe, fitted

    for line in given_lines(derived, task):
        progress(line)
    return fitted(derived, task, default_recipe(task))


_OF_THE_DATA = {"input_scaling": "images to scale", "image_size": "images to scale", "data_limit": "samples to limit"}
"""Options that mean nothing without data, and what is missing then."""


def _require_data(data: object, **options: object) -> None:
    """Refuse options of data that are not given, or that are loaded already.

    Raises:
        HwnasError: There is nothing that an option could change.
    """
    for name in (name for name, value in options.items() if value is not None):
        if data is None:
            raise HwnasError(f"{dashed(name)} needs --data: there are no {_OF_THE_DATA[name]}")
        if name != "input_scaling" and isinstance(data, (Task, DataSet)):
            raise HwnasError(f"{name} has no effect on data that are loaded already; load them with it, or give a path")


def _measured_budget(
    budget: str | float | None, device: str | Backend | None, threads: int | None
) -> tuple[dict[str, float], Backend | None]:
    """Return upper bounds by the cost's key, and what measures; None without a budget.

    Raises:
        HwnasError, ProfilerError: The budget cannot be read, or the device cannot measure.
    """
    for name, value in {"device": device, "threads": threads}.items():
        if budget is None and value is not None:
            raise HwnasError(f"{dashed(name)} needs --latency-budget: without one nothing is measured")
    if budget is None:
        return {}, None
    bounds = {LATENCY.key: bound_of(LATENCY, budget)}
    if device is not None and not isinstance(device, str):
        refuse_options({"threads": threads}, ["threads"], "device")
        return bounds, device
    threads = default("threads") if threads is None else threads
    return bounds, make_backend(device or default("device"), threads=threads)


def as_dict(derived: Derived, lines: Sequence[str]) -> dict[str, Any]:
    """Return what `hwnas derive --json` prints.

    Args:
        derived: The space.
        lines: What `derive` told of it.
    """
    space = derived.space
    return {
        "choices": {choice.name: list(choice.values) for choice in space.choices},
        "networks": space.size,
        "ops": len(space.ops()),
        "put_back_norms": sorted(space.prepared.put_back),
        "not_searched": [
            {"what": note.what, "names": list(note.names), "reason": note.reason}
            for note in derived.notes
            if not note.together
        ],
        "options": {name: value for name, value in space.settings.items() if name not in OF_THE_FILE},
        "sha256": space.settings["sha256"],
        "lines": list(lines),
    }


def _read(model: str | Path | ReadModel | nn.Module, example: torch.Tensor | None) -> ReadModel:
    if isinstance(model, ReadModel):
        return model
    if isinstance(model, (str, Path)):
        return read_onnx(model)
    if example is None:
        raise HwnasError("derive needs an example input of a torch module: derive(module, example=torch.rand(1, ...))")
    return from_torch(model, example)


def _untrainable(read: ReadModel) -> list[str]:
    return [
        f"warning: node {node} ({op_type}) can be measured but not trained, so no search can start: {reason}"
        for node, op_type, reason in read.generic
    ]


def _task(
    data: Task | DataSet | str | Path | None, scaling: str | None, image_size: int | None, limit: int | None
) -> Task | None:
    if data is None:
        return None
    task = as_task(data) if isinstance(data, (Task, DataSet)) else None
    task = task or make_task(None, str(data), image_size=image_size, limit=limit)
    return task if scaling is None else task.with_scaling(scaling)
