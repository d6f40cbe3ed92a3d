"""``python -m hwnas`` and the ``hwnas`` command."""

from __future__ import annotations

import sys

from hwnas._cli import main
from hwnas._cli._parser import build_parser

__all__ = ["build_parser", "main"]

if __name__ == "__main__":
    sys.exit(main())
