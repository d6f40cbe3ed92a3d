"""A small version of scripts/check_resume.py."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_searches_that_are_killed_end_as_unbroken_ones():
    command = [sys.executable, "scripts/check_resume.py", "--kills", "5", "--samples", "25", "--strategy", "mutation"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    first, second, _ = result.stdout.splitlines()
    assert re.match(r"5 kills in [1-5] searches of 25 samples \(mutation\): ", first)
    assert second == "finished trials lost or changed: 0; run twice: 0; searches with other trials or front: 0"
