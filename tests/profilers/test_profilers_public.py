"""What others may use of `profilers`: its public names, which load as late as they can."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import profilers

ROOT = Path(__file__).resolve().parents[2]
PRIVATE = re.compile(
    r"^\s*(?:from|import) profilers(?:\.\w+)*\._|^\s*from profilers import .*\b_\w+|[\"']profilers\._", re.M
)


def test_every_public_name_is_there():
    assert len(set(profilers.__all__)) == len(profilers.__all__)
    assert [name for name in profilers.__all__ if getattr(profilers, name, None) is None] == []
    assert set(profilers.__all__) <= set(dir(profilers))
    with pytest.raises(AttributeError, match="'profilers' has no attribute 'Nonesuch'"):
        _ = profilers.Nonesuch


def test_cores_load_the_standard_library_alone():
    code = "import sys, profilers.cores; print(*sorted({'numpy', 'onnx', 'psutil', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "\n"


@pytest.mark.parametrize("folder", ["hwnas", "latency_tables", "search", "scripts"])
def test_nobody_outside_imports_a_private_module(folder):
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / folder).rglob("*.py")}
    assert texts
    assert [str(path) for path, text in texts.items() if PRIVATE.search(text)] == []


def test_the_search_for_private_imports_finds_them():
    for line in (
        "from profilers._timing import Timer",
        "    import profilers._cuda",
        "from profilers import ops, _plan",
    ):
        assert PRIVATE.search(line)
    assert not PRIVATE.search("from profilers import cores, ops\nfrom profilers.cores import usable_cores")
