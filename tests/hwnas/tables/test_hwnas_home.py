"""Users without a home folder, or with one that cannot be written."""

import os
import pwd

import pytest

import latency_tables
from hwnas._cli import main
from hwnas._devices._make import make_backend
from hwnas._errors import HwnasError
from hwnas._tables._build import default_table_path, find_table, table_folder
from hwnas.spaces import make_space

REMEDY = "set HWNAS_TABLES to a folder, or name the table's file (-o for profile, --table for search)"
NOWHERE = f"this user has no home folder to keep latency tables in; {REMEDY}"


@pytest.fixture
def nobody(monkeypatch):
    """A user that the system does not know, without HOME."""

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_DATA_HOME", "HWNAS_TABLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_a_user_without_a_home_is_told_the_remedy(nobody, capsys, monkeypatch, tmp_path):
    assert main(["profile", "--resolution", "8", "--networks", "2"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"hwnas: error: {NOWHERE}"
    assert main(["search", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"hwnas: error: {NOWHERE}"
    monkeypatch.setenv("HWNAS_TABLES", str(tmp_path))
    assert table_folder() == tmp_path


def test_a_user_without_a_home_still_finds_shipped_tables(nobody, tmp_path, monkeypatch):
    space, backend = make_space("mobilenetv3", preset="tiny", resolution=8), make_backend("cpu")
    assert find_table(space, backend) is None
    monkeypatch.setattr(latency_tables, "__file__", str(tmp_path / "__init__.py"))
    assert find_table(space, backend) is None


@pytest.mark.parametrize("there", ["a file", "read-only"])
def test_a_folder_that_cannot_be_written_is_said_before_measuring(monkeypatch, tmp_path, there):
    folder = tmp_path / "tables"
    if there == "a file":
        folder.write_text("x")
    else:
        folder.mkdir()
        monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK and os.path.exists(path))  # noqa: PTH110
    monkeypatch.setenv("HWNAS_TABLES", str(folder / "deep"))
    space, backend = make_space("mobilenetv3", preset="tiny", resolution=8), make_backend("cpu")
    with pytest.raises(HwnasError) as caught:
        default_table_path(space, backend)
    assert str(caught.value) == f"cannot write latency tables into {folder / 'deep'}; {REMEDY}"


def test_a_table_that_is_there_needs_no_folder_that_can_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("HWNAS_TABLES", str(tmp_path))
    space, backend = make_space("mobilenetv3", preset="tiny", resolution=8), make_backend("cpu")
    path = default_table_path(space, backend)
    path.write_text("{}")
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK and os.path.exists(path))  # noqa: PTH110
    assert default_table_path(space, backend) == path
