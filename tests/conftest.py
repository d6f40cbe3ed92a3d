"""Shared fixtures."""

from __future__ import annotations

import gc
import os
from itertools import count
from pathlib import Path

# one thread each: beside other work on the machine, threads that wait for each other take many times as long
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import short_measurements

ROOT = Path(__file__).resolve().parent.parent
HURRY = str(ROOT / "tests" / "hurry")

short_measurements.install()
if HURRY not in (places := os.environ.get("PYTHONPATH", "").split(os.pathsep)):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [HURRY, *places]))  # of the processes that tests start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a test marked ``slow`` come first: in the end, no worker waits for another one's long file."""
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What is imported by now stays: garbage collections need not go through it, and may be rarer."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked ``gpu`` are skipped where torch finds no NVIDIA GPU."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no NVIDIA GPU here")


@pytest.fixture(scope="session")
def _table_folders(tmp_path_factory):
    """Paths of folders that do not exist yet: most tests need none, and thousands of folders take their time."""
    place = tmp_path_factory.mktemp("tables")
    return (place / str(number) for number in count())


@pytest.fixture(autouse=True)
def _own_table_folder(_table_folders, monkeypatch):
    """No test reads or writes the user's tables."""
    monkeypatch.setenv("HWNAS_TABLES", str(next(_table_folders)))


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory):
    """A real OpenSSH server on loopback."""
    from ssh_server import SshServer, why_not

    if reason := why_not():
        pytest.skip(reason)
    server = SshServer(tmp_path_factory.mktemp("ssh"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def ssh_device(ssh_server, tmp_path, monkeypatch):
    """The variables that make the server a device; gives its cache folder."""
    cache = tmp_path / "device" / "cache"
    for name, value in ssh_server.environment(cache).items():
        monkeypatch.setenv(name, value)
    return cache


@pytest.fixture(scope="session")
def benchmark_file() -> Path:
    path = ROOT.parent / "shared" / "data" / "nasbench201.csv.gz"
    if not path.exists():
        pytest.skip("the NAS-Bench-201 table is not here")
    return path


@pytest.fixture(scope="session")
def csv(tmp_path_factory) -> Path:
    """A made-up benchmark of all cells of NAS-Bench-201."""
    from cells import write_cells

    return write_cells(tmp_path_factory.mktemp("cells") / "cells.csv")
