"""Names and errors that hold control characters never reach a terminal or a page as they are."""

import io
import json
import shutil
import sys
import unicodedata

import pytest
from cells import search
from hypothesis import given, settings
from hypothesis import strategies as st
from run_toys import trial_record
from test_hwnas_fuzz import EXAMPLES

from hwnas import HwnasError
from hwnas._cli import main
from hwnas._cli._live import JsonWatcher, TerminalWatcher
from hwnas._cli._output import progress_lines, say, say_json
from hwnas._common._text import json_text, printable
from hwnas._report._html import escape
from hwnas._runs._watch import Status
from hwnas.tasks import DEFAULT_METRIC
from profilers._remote import _bundled_profile

EVIL = "x\x1b]0;TITLE\x07\x1b[2J\r\n\x9b31m\u202e\u2066\x00\x7f\u2028y"


def harmless(text):
    """Whether a line moves no cursor and turns no direction of writing."""
    lines = text.removesuffix("\n").split("\n")
    return len(lines) == 1 and all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in lines[0])


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.text(st.characters(codec=None)))
def test_every_text_becomes_one_harmless_line(text):
    shown = printable(text)
    assert harmless(shown)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert shown == text or not text.isprintable()
    assert harmless(escape(text))
    assert json.loads(json_text({text: [text]}, indent=1)) == {text: [text]}
    assert json_text(text).isascii()
    assert json_text(text).isprintable()


def test_escapes_are_readable_and_letters_stay():
    assert printable("a\x1b[0m\n\u202eb\udce9") == r"a\x1b[0m\n\u202eb\udce9"
    assert printable("Fotos für Zoë, 写真, ± 5 %") == "Fotos für Zoë, 写真, ± 5 %"


def test_whatever_prints_a_line_escapes_it(capsys, monkeypatch):
    say(EVIL)
    progress_lines()(EVIL)
    _bundled_profile._say(EVIL)
    captured = capsys.readouterr()
    assert harmless(captured.out)
    assert all(harmless(line) for line in captured.err.splitlines(keepends=True))
    assert captured.err.count("\n") == 2
    stream = io.StringIO()
    watcher = TerminalWatcher(stream, lambda text: None, lambda: 500)
    watcher.trial(trial_record(0), lambda: Status(1, 2, DEFAULT_METRIC, 0.5, None, None, None))
    watcher.close()
    assert harmless(stream.getvalue().replace("\r\x1b[K", ""))
    stream = io.StringIO()
    JsonWatcher(stream).line(EVIL)
    assert harmless(stream.getvalue())
    assert json.loads(stream.getvalue())["text"] == EVIL
    say_json({"name": EVIL})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": EVIL}
    assert out.replace("\n", "").isprintable()


@pytest.mark.parametrize("kind", [HwnasError, RuntimeError])
def test_errors_and_bugs_are_escaped(monkeypatch, capsys, kind):
    def fail(*arguments):
        raise kind(EVIL)

    monkeypatch.setattr("hwnas._api._runs.find_runs", fail)
    assert main(["runs"]) == (2 if kind is HwnasError else 1)
    captured = capsys.readouterr()
    assert "TITLE" in captured.err
    assert all(harmless(line) for line in captured.err.splitlines(keepends=True))


def test_wrong_options_and_names_of_plugins_are_escaped(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        main(["search", f"--{EVIL}"])
    monkeypatch.setattr("hwnas._common._plugins.plugin_names", lambda kind: [EVIL])
    assert harmless(capsys.readouterr().err)
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    assert all(harmless(line) for line in capsys.readouterr().out.splitlines(keepends=True))


def test_a_folder_with_an_evil_name_is_listed_and_compared(csv, tmp_path, capsys):
    place = tmp_path / EVIL.replace("\x00", "").replace("/", "")
    search(csv, tmp_path / "good", samples=12)
    shutil.copytree(tmp_path / "good", place)
    shutil.copytree(tmp_path / "good", tmp_path / "damaged\x1b[2J")
    (tmp_path / "damaged\x1b[2J" / "settings.json").write_text("{")
    capsys.readouterr()
    for command in (["runs", tmp_path], ["compare", tmp_path / "good", place], ["export", place]):
        main([str(part) for part in command])
        captured = capsys.readouterr()
        shown = captured.out + captured.err
        assert r"\x1b]0;TITLE\x07" in shown or command[0] == "export"
        assert all(harmless(line) for line in shown.splitlines(keepends=True))
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert place.name in {info["name"] for info in json.loads(capsys.readouterr().out)}


def test_text_that_the_terminal_cannot_show_is_escaped_too(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("é ± \udce9")
    sys.stdout.flush()
    assert raw.getvalue() == b"\\xe9 \\xb1 \\udce9\n"
