"""``exhibits.json``: what the report shows of a network at work."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from hwnas._errors import RunError
from hwnas._runs._run import Run
from hwnas.tasks import Exhibit

EXHIBITS = "exhibits.json"


def write_exhibits(run: Run, network: str, exhibits: Sequence[Exhibit]) -> None:
    """Write what is shown of a network.

    Args:
        run: The run.
        network: Its id.
        exhibits: What the task shows of it.
    """
    items = [
        {
            "title": item.title,
            "note": item.note,
            "rows": item.rows,
            "pictures": [[caption, base64.b64encode(png).decode("ascii")] for caption, png in item.pictures],
        }
        for item in exhibits
    ]
    run.write(EXHIBITS, json.dumps({"network": network, "exhibits": items}) + "\n")


def remove_exhibits(run: Run) -> None:
    """Remove what was shown of a network, so that no other one seems to be shown.

    Raises:
        RunError: It cannot be removed.
    """
    try:
        (run.path / EXHIBITS).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"cannot remove {run.path / EXHIBITS}: {error.strerror}") from None


def read_exhibits(run: Run) -> tuple[str, list[Exhibit]] | None:
    """Return the id of a network and what is shown of it; None where the run holds nothing that can be read."""
    try:
        record = json.loads((run.path / EXHIBITS).read_text(encoding="utf-8"))
        exhibits = [
            Exhibit(
                str(item["title"]),
                str(item["note"]),
                tuple(tuple(map(str, row)) for row in item["rows"]),
                tuple((str(caption), base64.b64decode(png, validate=True)) for caption, png in item["pictures"]),
            )
            for item in record["exhibits"]
        ]
        return str(record["network"]), exhibits
    except (OSError, ValueError, KeyError, TypeError):
        return None
