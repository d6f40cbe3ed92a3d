"""What every evaluator must keep: values that follow from its settings alone, and weights that have these values."""

from __future__ import annotations

import math
import pickle
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from hwnas._errors import EvaluatorError, NoValueError
from hwnas.evaluators import Evaluator, Trainer
from hwnas.spaces import Architecture, Space
from hwnas.tasks import Task
from hwnas.testing._operators import run_onnx, run_torch
from hwnas.testing._require import errors_as_faults, require, require_close, require_json
from hwnas.training import score_onnx
from latency_tables import INPUT
from profilers import GraphModule, build_onnx, graph_parameters

MakeEvaluator = Callable[[], Evaluator]
_BATCH = 7
_TOLERANCE = 1e-3
_EQUAL = 1e-5


def check_evaluator(
    make: MakeEvaluator, space: Space, task: Task | None = None, *, archs: Sequence[Architecture] = ()
) -> None:
    """Check an evaluator.

    Its settings must be JSON-able, its values finite, within the bounds of its metric and the same in another folder,
    in another order and in a copy that a worker process would get. One that is prepared must use what its folder
    holds. A `Trainer` must give the weights that have the value, and must refuse to evaluate unprepared.

    Args:
        make: Makes the evaluator anew, with the same settings. Its class must be importable, as workers
            get pickled copies.
        space: The space whose networks it evaluates.
        task: What the networks are trained for; a `Trainer` needs it.
        archs: Architectures to evaluate, at least one of which has a value; by default three of the space.

    Raises:
        AssertionError: The evaluator breaks the contract.
    """
    chosen = tuple(archs) or tuple(dict.fromkeys(space.sample(8, np.random.default_rng(0))))[:3]
    with errors_as_faults(), tempfile.TemporaryDirectory() as folder:
        work, elsewhere = Path(folder) / "work", Path(folder) / "elsewhere"
        _check_settings(make)
        _check_unprepared(make, chosen[0])
        first = make()
        first.prepare(work)
        values = _checked_values(first, space, chosen)
        _check_same_values(make, space, chosen, values, elsewhere)
        _check_prepared_again(make, space, chosen, values, work)
        _check_copy(make, first, space, chosen, values, work)
        if isinstance(first, Trainer):
            require(task is not None, f"{_owner(first)}: give the task, it trains networks")
            assert task is not None  # by the line above
            arch = next(arch for arch in chosen if values[arch] is not None)
            _check_weights(first, first, space, task, arch)


def _owner(evaluator: Evaluator) -> str:
    return f"evaluator {evaluator.name}"


def _check_settings(make: MakeEvaluator) -> None:
    evaluator = make()
    require(isinstance(evaluator, Evaluator), f"{type(evaluator).__name__} must be a subclass of hwnas.Evaluator")
    name = getattr(evaluator, "name", None)
    require(isinstance(name, str) and name, f"evaluator {type(evaluator).__name__}: it must have a name")
    require_json(evaluator.settings, f"{_owner(evaluator)}: its settings")
    require(make().settings == evaluator.settings, f"{_owner(evaluator)}: made again, it must have the same settings")


def _check_unprepared(make: MakeEvaluator, arch: Architecture) -> None:
    """A trainer that was not prepared says so; what learns nothing may evaluate at once."""
    evaluator = make()
    if not isinstance(evaluator, Trainer):
        return
    try:
        evaluator.evaluate(arch)
    except EvaluatorError as error:
        right = "prepare" in str(error) and not isinstance(error, NoValueError)
        require(right, f"{_owner(evaluator)}: unprepared, its error must say to call prepare, got {error}")
    else:
        raise AssertionError(f"{_owner(evaluator)}: evaluate must raise EvaluatorError before prepare was called")


def _value(evaluator: Evaluator, arch: Architecture) -> float | None:
    """The value of a network; None where it has none."""
    try:
        return float(evaluator.evaluate(arch).value)
    except NoValueError:
        return None


def _checked_values(
    evaluator: Evaluator, space: Space, archs: Sequence[Architecture]
) -> dict[Architecture, float | None]:
    values = {}
    for arch in archs:
        where = f"{_owner(evaluator)}: {space.format(arch)}"
        values[arch] = value = _value(evaluator, arch)
        if value is not None:
            require(math.isfinite(value), f"{where}: its value must be finite, got {value}")
            name = evaluator.metric.name
            require(
                evaluator.metric.holds(value), f"{where}: {name} must be within the bounds of the metric, got {value:g}"
            )
    require(any(v is not None for v in values.values()), f"{_owner(evaluator)}: none of the architectures has a value")
    return values


def _require_same(
    evaluator: Evaluator,
    space: Space,
    values: dict[Architecture, float | None],
    archs: Sequence[Architecture],
    how: str,
) -> None:
    for arch in archs:
        again = _value(evaluator, arch)
        require(
            again == values[arch],
            f"{_owner(evaluator)}: {space.format(arch)} has the value {values[arch]}, {how} {again}; values must "
            "follow from the settings alone",
        )


def _check_same_values(
    make: MakeEvaluator,
    space: Space,
    archs: Sequence[Architecture],
    values: dict[Architecture, float | None],
    folder: Path,
) -> None:
    other = make()
    other.prepare(folder)
    order = archs if other.in_order else tuple(reversed(archs))
    _require_same(other, space, values, order, "in another folder and order")


def _check_prepared_again(
    make: MakeEvaluator,
    space: Space,
    archs: Sequence[Architecture],
    values: dict[Architecture, float | None],
    folder: Path,
) -> None:
    """A folder that is prepared is used: nothing is trained a second time."""
    other, steps = make(), list[int]()
    for _ in range(2):
        other.prepare(folder, lambda done, total, text: steps.append(done))
    require(not steps, f"{_owner(other)}: prepare must use what its folder holds, it made {len(steps)} steps again")
    _require_same(other, space, values, archs, "prepared again")


def _check_copy(
    make: MakeEvaluator,
    prepared: Evaluator,
    space: Space,
    archs: Sequence[Architecture],
    values: dict[Architecture, float | None],
    folder: Path,
) -> None:
    """A pickled copy, made ready by what the prepared one learned, gives the same values."""
    try:
        copy: Evaluator = pickle.loads(pickle.dumps(make()))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise AssertionError(f"{_owner(prepared)}: workers get pickled copies of it: {error}") from None
    copy.restore(prepared.state(), folder)
    _require_same(copy, space, values, archs, "in a worker's copy")


def _check_weights(evaluator: Evaluator, trainer: Trainer, space: Space, task: Task, arch: Architecture) -> None:
    graph, weights = space.graph(arch), trainer.trained_weights(arch)
    owner = _owner(evaluator)
    shapes = {name: array.shape for name, array in weights.items()}
    expected = {name: parameter.shape for name, parameter in graph_parameters(graph)}
    require(shapes == expected, f"{owner}: trained_weights must have the names and shapes of the graph's parameters")
    single = all(array.dtype == np.float32 for array in weights.values())
    require(single, f"{owner}: trained_weights must be float32")
    model = build_onnx(graph, weights, batch=_BATCH)
    content = model.SerializeToString()
    for part, value in (("validation", evaluator.evaluate(arch).value), ("test", trainer.test_value(arch))):
        of_file = score_onnx(content, task, part)  # type: ignore[arg-type]
        require_close(
            of_file, value, _EQUAL, f"{owner}: {task.metric.name} on {part} of the exported file and of the network"
        )
    x = task.inputs("test", slice(_BATCH), graph.input_shape)
    inputs = {INPUT: x.contiguous().numpy()}
    expected_outputs = run_torch(GraphModule(graph, weights).eval(), inputs)[0]
    fault = f"{owner}: the exported file and the torch network do not agree"
    require_close(run_onnx(model, inputs)[0], expected_outputs, _TOLERANCE, fault)
