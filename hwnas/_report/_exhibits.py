"""The section that shows a network at work: tables and pictures that the task made."""

from __future__ import annotations

from hwnas._report._html import escape, image
from hwnas._runs._exhibits import read_exhibits
from hwnas._runs._run import Run
from hwnas.tasks import Exhibit


def exhibits_section(run: Run) -> str:
    """Return the section; nothing where the run holds no exhibits."""
    held = read_exhibits(run)
    if held is None or not held[1]:
        return ""
    network, exhibits = held
    return f"<h2>{escape(network)} on the test part</h2>" + "".join(map(_shown, exhibits))


def _shown(exhibit: Exhibit) -> str:
    parts = [f"<h3>{escape(exhibit.title)}</h3>"]
    parts += [f"<p class=note>{escape(exhibit.note)}</p>"] if exhibit.note else []
    if exhibit.rows:
        head, *rows = exhibit.rows
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
        parts.append(f"<div class=wide><table><tr>{cells}{body}</table></div>")
    for caption, png in exhibit.pictures:
        above = f"<p>{escape(caption)}</p>" if caption else ""
        parts.append(above + image({"": png}, "", caption or exhibit.title))
    return "".join(parts)
