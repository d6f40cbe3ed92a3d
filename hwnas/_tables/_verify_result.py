"""What verifying a table says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwnas._tables._moved import OR
from hwnas._tables._references import THIS_MACHINE, percent_text, speed_text

HOLDS, CHANGED, TOO_NOISY = "holds", "changed", "too noisy to tell"
"""Verdicts."""
EXIT_CODES: Mapping[str, int] = {HOLDS: 0, CHANGED: 1, TOO_NOISY: 3}
"""Exit codes of ``hwnas verify``; 2 is that of bad input."""
SLOW_AND_FAST, EACH_OTHER = "slow networks against fast ones", "networks against each other"
"""Names of checks that compare networks, and no times."""
_SAME_SPEED = 0.03
"""A machine whose speed differs by no more is as fast as it was."""
_SHOWN = 5
"""Ops that hold, of which lines for people are made: those that deviate most."""


@dataclass(frozen=True)
class Check:
    """One number measured again.

    Attributes:
        name: The reference op, a group of networks, an op, or all ops of a kind.
        table_ms: What the table says.
        measured_ms: What it is now.
        at_table_speed_ms: What it would be if the machine were as fast as when the table was made.
        tolerance_ms: Deviation of `at_table_speed_ms` that is still noise.
        holds: Whether the table's number is still right. One that is not was beyond its tolerance in new sessions, too.
        of_ops: Whether it is of an op or of all ops of a kind.
        sure: Whether a change by 20 % would have been found 19 times in 20.
    """

    name: str
    table_ms: float
    measured_ms: float
    at_table_speed_ms: float
    tolerance_ms: float
    holds: bool
    of_ops: bool = False
    sure: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What was measured; several ops where networks cannot tell which of them moved."""
        return tuple(self.name.split(OR))

    @property
    def change(self) -> float:
        """Relative change at the table's speed."""
        return self.at_table_speed_ms / self.table_ms - 1 if self.table_ms else 0.0

    @property
    def relative_tolerance(self) -> float:
        """Relative change that is still noise."""
        return self.tolerance_ms / self.table_ms if self.table_ms else 0.0

    def line(self) -> str:
        """Return the check as a line for people."""
        mark, noise = "ok" if self.holds else "MOVED", f"noise: up to {percent_text(self.relative_tolerance)}"
        return f"{mark:5s} {self.name}: {self._measured_text(noise)}"

    def _measured_text(self, noise: str) -> str:
        """Return what was measured, with the noise in brackets."""
        size = percent_text(abs(self.change))
        if self.name == EACH_OTHER:
            return f"{size} apart, in the same way in each session ({noise})"
        if self.name == SLOW_AND_FAST:
            return f"{size} {'slower' if self.change >= 0 else 'faster'} ({noise})"
        times = f"{self.table_ms:.4g} ms in the table, {self.at_table_speed_ms:.4g} ms now at the table's speed"
        return f"{times} ({percent_text(self.change, signed=True)}, {noise})"


@dataclass(frozen=True)
class Verified:
    """Whether a table still holds.

    Attributes:
        verdict: `HOLDS`, `CHANGED` or `TOO_NOISY`.
        slowness: How many times longer everything takes now than when the table was made.
        half_width: Half the width of its 90 % interval, relative.
        checks: The numbers that were measured again.
        covered: Share of the networks' time that is in ops of which a change by 20 % would have been found; None where
            prices were measured again, so that it is not known.
        noise: Standard deviation of a network's time, relative, after the machine's speed; None where prices were
            measured again.
        networks: Number of networks that were measured.
        sessions: How often, each time loaded anew.
    """

    verdict: str
    slowness: float
    half_width: float
    checks: tuple[Check, ...]
    covered: float | None
    noise: float | None
    networks: int
    sessions: int

    @property
    def moved(self) -> tuple[Check, ...]:
        """The numbers that are no longer what the table says."""
        return tuple(check for check in self.checks if not check.holds)

    def lines(self, who: str = THIS_MACHINE) -> list[str]:
        """Return everything as lines for people.

        Args:
            who: The machine.
        """
        whole = [check for check in self.checks if not check.of_ops]
        others = [check for check in self.checks if check.of_ops]
        steady = sorted((c for c in others if c.holds), key=lambda c: -abs(c.change) / max(c.relative_tolerance, 1e-9))
        shown = [*whole, *(c for c in others if not c.holds), *steady[:_SHOWN]]
        lines = [speed_text(self.slowness, max(self.half_width, _SAME_SPEED), who), *(check.line() for check in shown)]
        if len(steady) > _SHOWN:
            lines.append(f"ok    {len(steady) - _SHOWN} more ops and kinds of ops, which deviate less")
        if self.covered is not None and self.noise is not None:
            count = "1 session" if self.sessions == 1 else f"{self.sessions} sessions"
            lines.append(
                f"measured {self.networks} networks in {count}, noise {percent_text(self.noise)}; verify would find an "
                f"op that became 20 % slower if it is among those that make up {percent_text(self.covered)} of the "
                "networks' time"
            )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        return {
            "verdict": self.verdict,
            "slowness": self.slowness,
            "slowness_half_width": self.half_width,
            "covered": self.covered,
            "noise": self.noise,
            "networks": self.networks,
            "sessions": self.sessions,
            "checks": [{**asdict(check), "change": check.change} for check in self.checks],
        }
