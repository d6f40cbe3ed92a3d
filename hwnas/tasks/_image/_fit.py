"""Whether the networks of a space read a data set's images and output its classes.

Both must be square: nothing of one is squashed into the other.
"""

from __future__ import annotations

from hwnas._errors import DataError, EvaluatorError, SpaceError
from hwnas.data import ImageData
from hwnas.spaces import DerivedSpace, Space, without_precision
from hwnas.tasks._fitting import largest_network, require_classifiers, setting_to_change, some_networks


def require_squares(space: Space, data: ImageData) -> None:
    """Refuse what is not square before anything is trained.

    Raises:
        DataError: The images are not.
        SpaceError: A network reads images that are not, or no images (a few are looked at).
    """
    height, width = data.native_size
    if height != width:
        raise DataError(
            f"data {data.name}: images are {width}x{height} pixels (width x height), but networks read squares; "
            f"give --image-size {min(height, width)} to scale the shorter side and cut out the centre"
        )
    for arch in some_networks(space):
        shape = space.input_shape(arch)
        if len(shape) != data.train.images.ndim - 1:
            axes = "channels, time, height, width" if data.train.images.ndim == 5 else "channels, height, width"
            raise SpaceError(
                f"space {space.name}: a network reads samples of {len(shape)} axes, those of {data.name} have "
                f"{data.train.images.ndim - 1} ({axes}); choose another --space or --task"
            )
        if shape[-1] == data.channels and shape[0] == shape[1]:
            raise SpaceError(
                f"space {space.name}: its networks read images of {'x'.join(map(str, shape))} numbers, channels last; "
                "export the model with channels first (batch, channels, height, width)"
            )
        if shape[-2] != shape[-1]:
            raise SpaceError(
                f"space {space.name}: a network reads images of {shape[-1]}x{shape[-2]} pixels (width x height), but "
                "images must be square; make height and width equal"
            )


def require_fit(space: Space, data: ImageData) -> None:
    """Refuse networks that do not read such images or output another number of classes.

    Raises:
        DataError, SpaceError: Images or networks are not square.
        EvaluatorError: Channels or classes differ.
    """
    require_squares(space, data)
    graph = space.graph(largest_network(space))
    require_classifiers(space, graph.output_shape)
    channels, classes = graph.input_shape[0], graph.output_shape[0]
    if channels != data.channels:
        raise EvaluatorError(
            f"data {data.name}: images have {_count(data.channels, 'channel')}, {_reader(space, 'read')} {channels}; "
            f"{_hint(space, 'image_channels', data.channels)}"
        )
    if classes != len(data.classes):
        raise EvaluatorError(
            f"data {data.name}: {_count(len(data.classes), 'class', 'es')}, {_reader(space, 'output')} {classes}; "
            f"{_hint(space, 'classes', len(data.classes))}"
        )


def _hint(space: Space, setting: str, value: int) -> str:
    """Return what to do where a space has not the channels or classes of the data."""
    others = "train and export the model for these" if _is_of_a_model(space) else "another space"
    return setting_to_change(space, (setting,), value, f"choose other data, or {others}")


def _count(number: int, noun: str, ending: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else ending}"


def _reader(space: Space, verb: str) -> str:
    return f"the model {verb}s" if _is_of_a_model(space) else f"the space's networks {verb}"


def _is_of_a_model(space: Space) -> bool:
    return isinstance(without_precision(space), DerivedSpace)
