"""What a search uses by default for each task."""

from __future__ import annotations

from collections.abc import Mapping

_GENERAL = "mobilenetv3"
USUAL_SPACES: Mapping[str, str] = {
    "dense": "unet",
    "detection": "fpn",
    "image": _GENERAL,
    "signal": "convnet1d",
    "video": "video",
}
"""The space that is made for a task, where nobody names one."""


def usual_space(task: str) -> str:
    """Return the space that is made for a task of ours; the one of images for tasks of plug-ins."""
    return USUAL_SPACES.get(task, _GENERAL)
