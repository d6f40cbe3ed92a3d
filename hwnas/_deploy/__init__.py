"""The folder that deploys a network: its ONNX file, `predict.py`, what to install, and what hwnas measured of it.

`predict.py` is copied as it is and runs where nothing of hwnas is. What it needs to know stands in the ONNX file's
metadata (`measurement_metadata`, and what the task says) and in ``expected.json``.
"""

from __future__ import annotations

from hwnas._deploy._folder import NETWORK, deliver_folder, write_folder
from hwnas._deploy._metadata import measurement_metadata

__all__ = ["NETWORK", "deliver_folder", "measurement_metadata", "write_folder"]
