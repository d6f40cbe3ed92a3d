"""Deliveries of tests take few rounds, their pauses and what waits for a disk no time: in all processes of tests.

A test's claim is about what a measurement writes, refuses and promises, never about how long it takes, and no test
cuts the power: what a killed process has written is in the file without `os.fsync`. Constants of the modules named
here get other values as soon as a module is imported; nothing of the project is imported before.
"""

import os
import sys

SHORT = {
    "hwnas._pipeline._time_networks": {"ROUNDS": 12, "PAUSE_S": 0.0},
    "hwnas._tables._references": {"TAIL_ROUNDS": 12},
}
"""Values of constants, by module."""


class _Shortening:
    """Finds the modules of SHORT as the other finders do, and changes their constants once they are loaded."""

    @staticmethod
    def find_spec(name, path, target=None):
        if name not in SHORT:
            return None
        others = (finder for finder in sys.meta_path if finder is not _Shortening)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None:
            load = spec.loader.exec_module

            def load_and_shorten(module):
                load(module)
                _shorten(module)

            spec.loader.exec_module = load_and_shorten
        return spec


def install():
    """Shorten the measurements of this process, and let it write without waiting for the disk."""
    os.fsync = _leave_to_the_system
    if _Shortening not in sys.meta_path:
        sys.meta_path.insert(0, _Shortening)
    for name in SHORT.keys() & sys.modules.keys():
        _shorten(sys.modules[name])


def _leave_to_the_system(file):
    """In the place of `os.fsync`: a closed or wrong file is still an error."""
    os.fstat(file)


def _shorten(module):
    for constant, value in SHORT[module.__name__].items():
        if not hasattr(module, constant):
            raise AttributeError(f"{module.__name__} has no {constant} any more; change tests/hurry")
        setattr(module, constant, value)
