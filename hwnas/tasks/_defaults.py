"""What a search uses by default for each task."""

from __future__ import annotations

from collections.abc import Mapping

USUAL_SPACES: Mapping[str, str] = {"dense": "unet", "image": "mobilenetv3", "video": "video"}
"""The space that is made for a task, where nobody names one."""


def usual_space(task: str) -> str | None:
    """Return the space that is made for a task of ours; None for tasks of plug-ins."""
    return USUAL_SPACES.get(task)
