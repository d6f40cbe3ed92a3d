"""MkDocs hooks: pages made from other sources, and a check of what the pages load.

`docs/changelog.md` becomes CHANGELOG.md, and `docs/reference/commands.md` gets the options of every command from the
parser itself. A page that loads anything from another site gives a warning, which ends a strict build; so does a
public name that the reference lacks.
"""

from __future__ import annotations

import argparse
import logging
import re
import textwrap
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG, COMMANDS = "changelog.md", "reference/commands.md"
log = logging.getLogger("mkdocs.hooks.hwnas")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return the page's text, with the parts that are made when the site is built."""
    if page.file.src_uri == CHANGELOG:
        return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if page.file.src_uri == COMMANDS:
        return "\n".join([markdown, *(line for each in commands().items() for line in command_lines(*each))])
    return markdown


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Return the page unchanged; warn about what it loads from another site and about names that it lacks."""
    where = page.file.src_uri
    for address in loaded_from_elsewhere(output):
        log.warning("%s loads %s; pages must not need a network", where, address)
    if where.startswith("reference/") and where != COMMANDS:
        for name in missing_names(Path(where).stem, output):
            log.warning("%s lacks %s; check the options below its :::", where, name)
    return output


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command, by name."""
    from hwnas.__main__ import build_parser

    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def options_of(command: argparse.ArgumentParser) -> list[argparse.Action]:
    """List the arguments of a command in the order of its help, without ``--help`` and the old spellings of options."""
    return [a for a in command._actions if a.dest != "help" and a.help != argparse.SUPPRESS]


def command_lines(name: str, command: argparse.ArgumentParser) -> list[str]:
    """Write the section of a command."""
    example = (command.epilog or "").removeprefix("example: ")
    text = _text(command.description or "")
    lines = [f"## hwnas {name}", "", f"{text[:1].upper()}{text[1:]}.".replace("?.", "?"), ""]
    lines += ["```sh", *_shell_lines(example), "```", "", "| argument | what it is |", "|---|---|"]
    lines += [f"| {_written(action)} | {_text(action.help or '')} |" for action in options_of(command)]
    return [*lines, ""]


def loaded_from_elsewhere(html: str) -> list[str]:
    """List the addresses of scripts, styles, fonts and pictures that a page would fetch over a network."""
    finder = _Loads()
    finder.feed(html)
    return finder.addresses


def missing_names(package: str, html: str) -> list[str]:
    """List the public names of a package, modules apart, that a page of the reference has no entry for."""
    module = import_module(package)
    names = [name for name in module.__all__ if not name.startswith("_")]
    entries = [f"{package}.{name}" for name in names if not isinstance(getattr(module, name), ModuleType)]
    return [entry for entry in entries if f'id="{entry}"' not in html]


class _Loads(HTMLParser):
    """Collects what is loaded, not what is linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        candidates = [given.get("src", ""), given.get("data", "") if tag == "object" else ""]
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            candidates.append(given.get("href", ""))
        self.addresses += [address for address in candidates if re.match(r"(https?:)?//", address)]


def _written(action: argparse.Action) -> str:
    """Return an argument as a user types it."""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None:
        value = ",".join(map(str, action.choices))
    parts = [", ".join(action.option_strings), "" if action.nargs == 0 else value]
    return f"`{' '.join(part for part in parts if part)}`"


def _shell_lines(command: str) -> list[str]:
    """Wrap a command; options stay together with their values."""
    glued = re.sub(r"( -[\w-]+) (?!-)", "\\1\0", command)
    lines = textwrap.wrap(glued, 74, subsequent_indent="  ", break_on_hyphens=False)
    return " \\\n".join(lines).replace("\0", " ").split("\n")


def _text(text: str) -> str:
    """Return a help text as a table cell."""
    return text.replace("%%", "%").replace("|", "\\|").replace("<", "&lt;")
