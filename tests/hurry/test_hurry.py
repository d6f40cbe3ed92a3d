"""Measurements are short in the processes of tests, too, and only there."""

import os
import subprocess
import sys
from pathlib import Path

import short_measurements

HURRY = Path(short_measurements.__file__).parent
CODE = """
import os, sys
assert not {"hwnas", "numpy"} & sys.modules.keys()
from hwnas._pipeline import _time_networks
print(_time_networks.ROUNDS, _time_networks.PAUSES, _time_networks.PAUSE_S, os.fsync.__module__)
"""


def constants(pythonpath):
    environment = {**os.environ, "PYTHONPATH": pythonpath}
    return subprocess.run([sys.executable, "-c", CODE], env=environment, check=True, capture_output=True, text=True)


def test_processes_of_tests_measure_briefly_and_others_as_users_do():
    given = os.environ["PYTHONPATH"]
    assert str(HURRY) in given.split(os.pathsep)
    assert constants(given).stdout.split() == ["12", "3", "0.0", "short_measurements"]
    without = os.pathsep.join(place for place in given.split(os.pathsep) if place != str(HURRY))
    assert constants(without).stdout.split() == ["100", "3", "1.0", "posix"]
