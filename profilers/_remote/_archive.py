"""The one file that runs on devices: our own modules, packed."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = (
    "latency_tables/_content.py",
    "latency_tables/_errors.py",
    "latency_tables/_files.py",
    "profilers/_arena.py",
    "profilers/_cores.py",
    "profilers/_energy.py",
    "profilers/_errors.py",
    "profilers/_fingerprint.py",
    "profilers/_journal.py",
    "profilers/_nvml.py",
    "profilers/_remote/__init__.py",
    "profilers/_remote/_job.py",
    "profilers/_remote/_protocol.py",
    "profilers/_remote/_requests.py",
    "profilers/_remote/_runner.py",
    "profilers/_remote/_store.py",
    "profilers/_samples.py",
    "profilers/_sampling.py",
    "profilers/_session.py",
    "profilers/_speed.py",
)
"""Of this source tree: they keep to Python 3.9."""
_GENERATED = {
    "__main__.py": "import sys\n\nfrom profilers._remote._runner import main\n\nsys.exit(main(sys.argv[1:]))\n",
    "latency_tables/__init__.py": (
        "from latency_tables._content import content_hash, read_json, strict_json\n"
        "from latency_tables._errors import LatencyTableError\n"
        "from latency_tables._files import LineJournal, is_private, read_regular, write_atomic\n\n"
        '__all__ = ["LatencyTableError", "LineJournal", "content_hash", "is_private", "read_json", "read_regular", '
        '"strict_json", "write_atomic"]\n'
    ),
    "profilers/__init__.py": "",
}
"""Stand-ins for what would import everything."""


@lru_cache(maxsize=1)
def runner_archive() -> bytes:
    """A zip file that Python runs; the same bytes from the same sources."""
    texts = {name: (_ROOT / name).read_text(encoding="utf-8") for name in MODULES} | _GENERATED
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(texts):
            archive.writestr(zipfile.ZipInfo(name), texts[name], zipfile.ZIP_DEFLATED)
    return memory.getvalue()
