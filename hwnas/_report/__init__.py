"""Plots and the HTML pages of runs."""

from hwnas._report._compare import write_comparison
from hwnas._report._several import DeviceFront, write_devices
from hwnas._report._write import write_report

__all__ = ["DeviceFront", "write_comparison", "write_devices", "write_report"]
