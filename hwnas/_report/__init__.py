"""Plots and the HTML page of a run."""

from hwnas._report._write import write_report

__all__ = ["write_report"]
