"""`hwnas doctor`: what on this machine will spoil measurements, and how to mend it."""

from hwnas._devices._doctor._examine import examine
from hwnas._devices._doctor._machine import Finding, Machine

__all__ = ["Finding", "Machine", "examine"]
