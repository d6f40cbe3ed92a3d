"""Names that a folder or a file gives to classes, and how they are shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from hwnas._errors import DataError

_LONGEST = 120


def shown(text: object) -> str:
    """Return a name for error messages: control characters and invalid UTF-8 as escapes, long names cut."""
    safe = "".join(
        character if character.isprintable() else character.encode("unicode_escape", "replace").decode()
        for character in str(text).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    )
    return safe if len(safe) <= 4 * _LONGEST else f"{safe[: 4 * _LONGEST]}..."


def can_be_written(text: str) -> bool:
    """Return whether a name is UTF-8 without control characters, so that files, pages and terminals can show it."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def same_name(name: str) -> str:
    """Return what two spellings of one name have in common (Unicode's NFC)."""
    return unicodedata.normalize("NFC", name)


def require_class_names(source: str, names: Sequence[str]) -> None:
    """Refuse names that cannot be written down, or told apart.

    Raises:
        DataError: A name is no UTF-8, holds control characters, is too long, or looks like another one.
    """
    seen: dict[str, str] = {}
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"data {shown(source)}: the class name '{shown(name)}' is not UTF-8; rename it") from None
        if len(name) > _LONGEST or not can_be_written(name) or not name.strip():
            raise DataError(
                f"data {shown(source)}: the class name '{shown(name)}' is empty, longer than {_LONGEST} characters "
                "or holds control characters; rename it"
            )
        if same_name(name) in seen:
            raise DataError(
                f"data {shown(source)}: two classes are called '{shown(name)}', in different spellings of Unicode "
                "(NFC and NFD); merge them"
            )
        seen[same_name(name)] = name
