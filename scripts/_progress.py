"""Progress of scripts that take long."""

from __future__ import annotations

import time


def say(text: str) -> None:
    """Print a progress line with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)
