"""`hwnas doctor`: what disturbs measurements on this machine, and how to fix it."""

from hwnas._devices._doctor._examine import examine
from hwnas._devices._doctor._machine import Finding, Machine

__all__ = ["Finding", "Machine", "examine"]
