"""From command-line options to the settings of a space."""

from __future__ import annotations

import argparse
from typing import Any

from hwnas._options import space_settings as settings_of


def space_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of ``options.space`` that were given; options of another space are refused.

    Raises:
        HwnasError: an option belongs to another space, or a list cannot be read.
    """
    return settings_of(vars(options))
