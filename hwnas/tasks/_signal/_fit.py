"""Whether the networks of a space read a data set's signals and give its outputs."""

from __future__ import annotations

from hwnas._errors import EvaluatorError, SpaceError
from hwnas.data import SignalData
from hwnas.spaces import Space
from hwnas.tasks._fitting import require_classifiers, setting_to_change, some_networks


def require_fit(space: Space, data: SignalData, outputs: int) -> None:
    """Refuse networks that read other inputs than such signals or give another number of outputs.

    Networks may read fewer samples than a signal has: the middle.

    Args:
        space: What is searched.
        data: The signals.
        outputs: Numbers that a network must give.

    Raises:
        SpaceError: A network does not read ``(channels, length)`` (a few are looked at).
        EvaluatorError: Channels, length or outputs differ.
    """
    archs = some_networks(space)
    for arch in archs:
        shape = space.input_shape(arch)
        text = "x".join(map(str, shape))
        if len(shape) != 2:
            raise SpaceError(
                f"space {space.name}: a network reads inputs of {text}, but signals are channels x length; choose "
                "another --space"
            )
        if shape[0] != data.channels:
            raise EvaluatorError(
                f"data {data.name}: signals have {data.channels} channel{'s' * (data.channels != 1)}, the space's "
                f"networks read {shape[0]}; {_hint(space, ('channels', 'image_channels'), data.channels)}"
            )
        if shape[1] > data.length:
            raise EvaluatorError(
                f"data {data.name}: signals have {data.length} samples, the space's networks read {shape[1]}; "
                f"{_hint(space, ('length', 'image_size'), data.length)}"
            )
    given = space.graph(archs[0]).output_shape
    require_classifiers(space, given)
    if given != (outputs,):
        raise EvaluatorError(
            f"data {data.name}: networks must give {outputs} output{'s' * (outputs != 1)}, the space's give "
            f"{'x'.join(map(str, given))}; {_hint(space, ('outputs', 'classes'), outputs)}"
        )


def _hint(space: Space, settings: tuple[str, ...], value: int) -> str:
    """Return what to do where a space has not the extents of the data."""
    return setting_to_change(space, settings, value, "choose other data, or another --space")
