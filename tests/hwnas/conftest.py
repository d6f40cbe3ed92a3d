"""Fixtures of the tests of runs."""

import pytest
from cells import write_cells


@pytest.fixture(scope="session")
def csv(tmp_path_factory):
    """A made-up benchmark of all cells."""
    return write_cells(tmp_path_factory.mktemp("cells") / "cells.csv")
