"""ONNX files of the winners, with what is needed to use them."""

from __future__ import annotations

import json
from pathlib import Path

from hwnas._deploy import measurement_metadata
from hwnas._errors import RunError
from hwnas._pipeline._original import weights_of
from hwnas._pipeline._setup import SearchSetup
from hwnas._pipeline._winner import Winner
from hwnas.evaluators._precision import QUANTISED


def export_onnx(path: Path, winner: Winner, setup: SearchSetup) -> Path:
    """Write the network with its trained weights; the file's metadata say how to prepare samples and run it.

    Raises:
        RunError: The file cannot be written, or the network cannot be quantised.
    """
    from latency_tables import write_atomic
    from profilers import OperatorError, build_onnx, quantised_nodes

    task, settings = setup.task, setup.run.settings
    assert task is not None
    graph, table = setup.space.graph(winner.arch), setup.costs.space_costs.table
    metadata = {
        "hwnas.arch": setup.space.format(winner.arch),
        "hwnas.space": json.dumps({"name": setup.space.name, "settings": setup.space.settings}),
        **{f"hwnas.{name}": json.dumps(value) for name, value in task.metadata(graph.input_shape).items()},
        **measurement_metadata(settings, table.identity if table is not None else None),
    }
    weights = weights_of(setup, winner)
    names = [output.name for output in task.outputs]
    called = names if len(names) == len(graph.outputs) else []
    model = build_onnx(graph, weights, batch=settings.batch, metadata=metadata, output_names=called)
    if settings.precision in QUANTISED:
        from hwnas.training import quantized

        try:
            model = quantized(model, task, graph.input_shape, quantised_nodes(graph, settings.precision))
        except OperatorError as error:
            raise RunError(f"{winner.id} cannot be quantised: {error}; the trials so far are safe") from None
    try:
        write_atomic(path, model.SerializeToString())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; the trials so far are safe") from None
    return path
