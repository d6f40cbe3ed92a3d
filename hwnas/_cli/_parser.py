"""The parser of the command line, built from the table of commands. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from hwnas._api._commands import DEBUG, GROUPS, Command, commands
from hwnas._common._about import about_lines
from hwnas._common._option import NAMED_VALUES, RECIPE, SWITCH, TEXTS, Option, dashed
from hwnas._common._text import printable
from hwnas._version import __version__

_LISTED = (("task", "tasks"), ("evaluator", "evaluators"), ("strategy", "strategies"), ("space", "spaces"))
_NAMED = {
    "space": "--space",
    "task": "--task",
    "strategy": "--strategy",
    "one-shot": "--strategy",
    "evaluator": "--evaluator",
    "device": "--device",
}
_NAMED |= {"cost": "--minimize"}
"""Options that take the names of plug-ins, by kind."""


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with exit code 2."""
        self.exit(2, f"hwnas: error: {printable(' '.join(message.split()))} (see `{self.prog} --help`)\n")

    def format_help(self) -> str:
        """Return the help, with the spaces, evaluators and strategies that the command accepts, plug-ins included."""
        text = super().format_help()
        if "--strategy" in self._option_string_actions:
            for kind, title in _LISTED:
                text += "\n".join(["", f"{title} (--{kind}):", *about_lines(kind), ""])
        taken = {kind: option for kind, option in _NAMED.items() if option in self._option_string_actions}
        if not taken:
            return text
        from hwnas._common._plugins import plugin_names

        names: dict[str, dict[str, None]] = {}
        for kind, option in taken.items():
            names.setdefault(option, {}).update(dict.fromkeys(plugin_names(kind)))
        lines = [f"{option} of plug-ins: {printable(', '.join(own))}\n" for option, own in names.items() if own]
        return text + "".join(["\n", *lines] if lines else [])


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = OneLineParser(
        prog="hwnas",
        description="Measure a device, search for networks that are fast on it, and deliver them measured.",
    )
    parser.add_argument("--version", action="version", version=f"hwnas {__version__}")
    group = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser)
    for command in commands():
        _add_command(group, command)
    return parser


def _add_command(commands: argparse._SubParsersAction[OneLineParser], command: Command) -> None:
    parser = commands.add_parser(
        command.name,
        help=command.help,
        description=command.help,
        epilog=f"example: {command.example}" + (f"\nexit codes: {command.exits}" if command.exits else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for option in (DEBUG, *command.options):
        if option.flags == ():  # Python alone can give it
            continue
        if option.group not in groups:
            noted = command.name == "search" or option.group in ("space", "pruning")
            about = GROUPS.get(option.group) if noted else None
            groups[option.group] = parser.add_argument_group(option.group, about)
        _add_option(groups[option.group], option)


def _add_option(parser: argparse._ActionsContainer, option: Option) -> None:
    """Add an option, and its other names; no help shows those that are not among its flags."""
    words, about = _keywords(option), option.described.replace("%", "%%")
    if option.flags is not None and not option.flags[0].startswith("-"):
        parser.add_argument(option.name, help=about, **words)
        return
    flags = (dashed(option.name),) if option.flags is None else option.flags
    words["dest"] = option.name
    parser.add_argument(*flags, help=about, required=option.required, **words)
    for old in (name for name in option.old if dashed(name) not in flags):
        hidden = {**words, "default": argparse.SUPPRESS}
        parser.add_argument(dashed(old), help=argparse.SUPPRESS, **hidden)


def _keywords(option: Option) -> dict[str, Any]:
    """Return the keyword arguments of ``add_argument`` for an option."""
    if option.kind is SWITCH:
        return {"action": "store_true"}
    words: dict[str, Any] = {"metavar": option.metavar} if option.metavar else {}
    if option.many:
        words["nargs"] = option.many
    if option.choices:
        words["choices"] = option.choices
    if option.kind in (NAMED_VALUES, TEXTS):
        return {**words, "action": "append"}
    if option.kind.number is not None:
        words["type"] = _reader(option.kind.number, option.kind.wanted)
    return words if option.kind is RECIPE or option.default is None else {**words, "default": option.default}


def _reader(read: Callable[[str], int | float], wanted: str) -> Callable[[str], int | float]:
    def number(text: str) -> int | float:
        """Read a number for argparse."""
        try:
            return read(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r:.40}") from None

    return number
