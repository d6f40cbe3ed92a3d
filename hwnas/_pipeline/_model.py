"""A trained model that a search starts from: `--model`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas._errors import HwnasError
from hwnas.spaces import Derived, DerivedSpace, derive, space_parameters

if TYPE_CHECKING:
    from profilers import ReadModel

OF_THE_FILE = ("graph", "sha256")
"""Settings of a derived space that say which model it is of; the others are options."""


def read_model(source: Path | bytes, options: Mapping[str, Any]) -> Derived:
    """Read an ONNX file and derive its space.

    Args:
        source: The file, whose external data lie beside it, or its content in one piece.
        options: Settings of `hwnas.spaces.DerivedSpace`; what they say of the file is left out.

    Raises:
        HwnasError: Torch cannot train the model, it does not classify, or nothing of it can be left out.
        ProfilerError: The file cannot be read.
    """
    return derived_of(read_trainable(source), options)


def read_trainable(source: Path | bytes) -> ReadModel:
    """Read an ONNX file whose ops can all be trained.

    Args:
        source: The file, whose external data lie beside it, or its content in one piece.

    Raises:
        HwnasError: Torch cannot train the model.
        ProfilerError: The file cannot be read.
    """
    from profilers import read_onnx

    model = read_onnx(source, label="--model" if isinstance(source, bytes) else str(source))
    if model.generic:
        (node, op_type, _), more = model.generic[0], len(model.generic) - 1
        raise HwnasError(
            f"--model: hwnas cannot train node {node} ({op_type}){f' and {more} more' if more else ''}: it has no such "
            "operator; hwnas derive FILE lists them"
        )
    return model


def derived_of(model: ReadModel, options: Mapping[str, Any]) -> Derived:
    """Return the space of a model that was read.

    Args:
        model: The model.
        options: Settings of `hwnas.spaces.DerivedSpace`; what they say of the file is left out.

    Raises:
        HwnasError: There is no such option.
        SpaceError: An option is out of range, or nothing of the model can be left out.
    """
    return derive(model.graph, model.weights, sha256=model.sha256, **chosen_options(options))


def chosen_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of a derived space without what they say of the model's file.

    Raises:
        HwnasError: There is no such option.
    """
    known = sorted({*space_parameters(DerivedSpace.name)} - {*OF_THE_FILE})
    chosen = {name: value for name, value in options.items() if name not in OF_THE_FILE}
    for name in chosen:
        if name not in known:
            raise HwnasError(f"a model's space has no option {name!r}; known options: {', '.join(known)}")
    return chosen
