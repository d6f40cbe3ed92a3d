"""Spaces by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from hwnas._common._plugins import load_plugin, make_plugin, plugin_names, refuse_shadow, takes
from hwnas._errors import SpaceError
from hwnas.spaces._base import Architecture, Space
from hwnas.spaces._convnet1d import ConvNet1d
from hwnas.spaces._dash import Dash1d, Dash2d
from hwnas.spaces._declaration import read_declaration
from hwnas.spaces._declared import DeclaredSpace
from hwnas.spaces._derived import DerivedSpace
from hwnas.spaces._dscnn import DSCNN
from hwnas.spaces._fpn import FPN
from hwnas.spaces._mixed import MixedPrecisionSpace
from hwnas.spaces._mobilenetv3 import MobileNetV3
from hwnas.spaces._nasbench201 import NASBench201
from hwnas.spaces._resnet import ResNet
from hwnas.spaces._task import Task, usual_defaults
from hwnas.spaces._unet import UNet
from hwnas.spaces._video import Video

_SPACES: dict[str, type[Space]] = {
    space.name: space
    for space in (
        ConvNet1d,
        DSCNN,
        Dash1d,
        Dash2d,
        DeclaredSpace,
        DerivedSpace,
        FPN,
        MobileNetV3,
        NASBench201,
        ResNet,
        UNet,
        Video,
    )
}


def space_names() -> list[str]:
    """Return the names of our own spaces, sorted."""
    return sorted(_SPACES)


def space_parameters(name: str, declaration: object = None) -> tuple[str, ...]:
    """Return the settings that `make_space` takes with a name.

    Args:
        name: Name of the space, or a path that ends in ``.json``.
        declaration: Declaration of a declared space that is not named by its file.

    Raises:
        SpaceError: The name is unknown, or the file cannot be used.
        PluginError: It is a plug-in's that cannot be used.
    """
    if is_file(name):
        declaration = read_declaration(Path(name))
    elif name != DeclaredSpace.name:
        return takes(_maker(name))
    declared = declaration.get("settings") if isinstance(declaration, Mapping) else None
    return tuple(declared) if isinstance(declared, Mapping) else ()


def make_space(name: str, /, **settings: object) -> Space:
    """Build a space from its name and settings (see the classes' constructors), or from a file that declares one.

    Args:
        name: Name of the space, or a path that ends in ``.json``.
        settings: Settings of the space.

    Raises:
        SpaceError: The name or a setting is unknown, a setting is out of range, or the file cannot be used.
        PluginError: It is a plug-in's that cannot be used.
    """
    if name == MixedPrecisionSpace.name:
        return _mixed(**settings)
    if is_file(name):
        name, settings = DeclaredSpace.name, {"declaration": read_declaration(Path(name)), **settings}
    maker = _maker(name)
    if maker is DeclaredSpace:
        return _declared(**settings)
    known = takes(maker)
    for setting in settings:
        if setting not in known:
            options = ", ".join(known) or "none"
            raise SpaceError(f"space {name} has no setting {setting!r}; known settings: {options}")
    if name in _SPACES:
        return _SPACES[name](**settings)
    made: Space = make_plugin("space", name, wants=("choices", "graph", "settings"), **settings)
    return made


def space_defaults(name: str, task: Task, chosen: Mapping[str, object]) -> dict[str, object]:
    """Return the settings that a space takes from a task, where they are not chosen.

    Args:
        name: Name of the space.
        task: What the networks are for.
        chosen: Settings that are chosen already.

    Raises:
        SpaceError: The name is unknown.
        PluginError: It is a plug-in's that cannot be used.
    """
    maker = _maker(name)
    is_space = isinstance(maker, type) and issubclass(maker, Space)
    return maker.defaults_from(task, chosen) if is_space else usual_defaults(maker, task)  # type: ignore[attr-defined]


def is_file(name: str) -> bool:
    """Return whether the name of a space is that of a file that declares one."""
    return name.endswith(".json")


def _declared(declaration: object = None, **settings: object) -> DeclaredSpace:
    if not isinstance(declaration, Mapping):
        raise SpaceError(
            "space declared: its declaration is missing; name the file that declares it: --space FILE.json"
        )
    return DeclaredSpace(declaration, **settings)


def _mixed(space: object = None, settings: object = None, **others: object) -> MixedPrecisionSpace:
    if not isinstance(space, str) or not isinstance(settings, Mapping) or others or space == MixedPrecisionSpace.name:
        raise SpaceError("space mixed: it is made of another space; name that one, with --precision mixed")
    return MixedPrecisionSpace(make_space(space, **settings))


def with_precision(space: Space, precision: str) -> Space:
    """Return the space of the networks of a space in a precision: for ``"mixed"``, that of each block is a choice."""
    if precision != MixedPrecisionSpace.name or isinstance(space, MixedPrecisionSpace):
        return space
    return MixedPrecisionSpace(space)


def without_precision(space: Space) -> Space:
    """Return the space whose networks, in one precision, a space of `with_precision` has; any other space itself."""
    return space.inner if isinstance(space, MixedPrecisionSpace) else space


def float_form(space: Space, arch: Architecture) -> Architecture:
    """Return a network of `without_precision(space)` as one of `space`, in mixed precision with all blocks in fp32."""
    if not isinstance(space, MixedPrecisionSpace):
        return arch
    return space.decode(space.with_float_blocks([space.inner.encode(arch)])[0])


def _maker(name: str) -> Callable[..., Space]:
    if name in _SPACES:
        refuse_shadow("space", name)
        return _SPACES[name]
    maker = load_plugin("space", name)
    if maker is None:
        named = [known for known in space_names() if known not in (DeclaredSpace.name, DerivedSpace.name)]
        known = ", ".join([*named, *plugin_names("space", _SPACES)])
        raise SpaceError(f"unknown space {name!r}; known spaces: {known}, or FILE.json")
    return maker


def space_identity(space: Space) -> dict[str, object]:
    """Return the name and settings; for a space that is not ours also a fingerprint: anybody may use its name."""
    named = without_precision(space)
    own = _SPACES.get(named.name) is type(named)
    return {"name": space.name, **space.settings, **({} if own else {"fingerprint": space.fingerprint})}
