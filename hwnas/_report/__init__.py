"""Plots and the HTML pages of runs."""

from hwnas._report._compare import write_comparison
from hwnas._report._write import write_report

__all__ = ["write_comparison", "write_report"]
