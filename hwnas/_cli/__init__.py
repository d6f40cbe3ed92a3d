"""The command line. Heavy libraries are imported by the commands that need them, never for ``--help``."""

from hwnas._cli._main import main

__all__ = ["main"]
