"""Files are written whole and nowhere else than where they should; what is read is a regular file of sound JSON."""

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from latency_tables import (
    ForeignJournalError,
    JournalInUseError,
    LineJournal,
    NotAFileError,
    append_bytes,
    load_table,
    read_json,
    read_regular,
    rename,
    require_place,
    strict_json,
    write_atomic,
)
from latency_tables._errors import TableFormatError


def make(kind, path):
    """Something at `path` that is no regular file; returns how it looks, to see whether it stayed."""
    if kind == "link":
        path.with_name("target").write_text("precious")
        path.symlink_to(path.with_name("target"))
    elif kind == "dangling link":
        path.symlink_to(path.with_name("nothing"))
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes device nodes")
    return looks(path)


def looks(path):
    found = path.lstat()
    return found.st_mode, found.st_ino, found.st_rdev


KINDS = {
    "link": "it is a symbolic link; name the file that it points to",
    "dangling link": "it is a symbolic link; name the file that it points to",
    "folder": "it is a folder, not a file",
    "pipe": "it is a pipe, not a file",
    "device": "it is a device, not a file",
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_regular_files_is_written(tmp_path, kind):
    path, source = tmp_path / "here", tmp_path / "source"
    before = make(kind, path)
    source.write_text("new")
    there = sorted(tmp_path.iterdir())
    for attempt in (
        lambda: write_atomic(path, "new"),
        lambda: append_bytes(path, b"new"),
        lambda: rename(source, path),
        lambda: require_place(path),
        lambda: LineJournal(path),
    ):
        with pytest.raises(NotAFileError) as caught:
            attempt()
        assert (caught.value.strerror, caught.value.filename) == (KINDS[kind], str(path))
        assert looks(path) == before
    assert sorted(tmp_path.iterdir()) == there
    if kind == "link":
        assert (tmp_path / "target").read_text() == "precious"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_umask_decides_on_new_files_and_existing_ones_keep_their_mode(tmp_path, umask):
    old = tmp_path / "old"
    old.write_text("old")
    old.chmod(0o640)
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "new", "x")
        write_atomic(old, "x")
        journal = LineJournal(tmp_path / "journal")
        journal.close()
    finally:
        os.umask(before)
    for name in ("new", "journal"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_the_file_and_then_its_folder_are_put_on_disk(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda f: (done.append(stat.S_IFMT(os.fstat(f).st_mode)), fsync(f))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (done.append("renamed"), replace(self, to))[1])
    write_atomic(tmp_path / "x", "x")
    assert done == [stat.S_IFREG, "renamed", stat.S_IFDIR]
    done.clear()
    rename(tmp_path / "x", tmp_path / "y")
    assert done == ["renamed", stat.S_IFDIR]
    done.clear()
    LineJournal(tmp_path / "j").close()
    assert done == [stat.S_IFDIR]


def test_bytes_are_added_to_the_end_or_not_at_all(tmp_path, monkeypatch):
    path, write = tmp_path / "x", os.write
    append_bytes(path, b"one ")
    append_bytes(path, b"two")
    assert path.read_bytes() == b"one two"
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:2]))
    append_bytes(path, b" three")
    assert path.read_bytes() == b"one two three"

    def full(file, data):
        if data == b" four":
            return write(file, data[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        append_bytes(path, b" four")
    assert path.read_bytes() == b"one two three"


def test_a_planted_temporary_file_catches_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda size: "guessed")
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".x.guessed.partial").symlink_to(tmp_path / "precious")
    for attempt in (lambda: write_atomic(tmp_path / "x", "new"), lambda: require_place(tmp_path / "x")):
        with pytest.raises(FileExistsError):
            attempt()
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "x").exists()


def test_a_failed_write_leaves_the_target_and_no_other_file(tmp_path, monkeypatch):
    write_atomic(tmp_path / "x", "old")
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_atomic(tmp_path / "x", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x", "old")]


def test_names_as_long_as_the_system_takes_and_text_that_is_no_utf_8(tmp_path):
    path = tmp_path / ("é" * 127)
    write_atomic(path, "caf\udce9")
    assert path.read_bytes() == b"caf\\udce9"


def test_a_journal_is_cut_when_it_is_appended_to_and_not_before(tmp_path):
    path = tmp_path / "j"
    path.write_bytes(b'{"number": 0}\n{"number": 1, "torn and longer than the line that follows')
    before = path.read_bytes()
    journal = LineJournal(path, b'{"number": ')
    journal.close()
    assert (journal.lines, path.read_bytes()) == ([b'{"number": 0}'], before)
    journal = LineJournal(path, b'{"number": ')
    journal.append("{}")
    journal.close()
    assert path.read_bytes() == b'{"number": 0}\n{}\n'


@pytest.mark.parametrize("content", [b"my diary, without a newline", b'{"numbers', b"\x89PNG"])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path, content):
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(ForeignJournalError, match="is not a journal of hwnas; move it or choose another path"):
        LineJournal(path, b'{"number": ')
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b'{"num', b'{"number": 17, "torn'])
def test_a_journal_torn_in_its_first_line_begins_anew(tmp_path, content):
    path = tmp_path / "j"
    path.write_bytes(content)
    journal = LineJournal(path, b'{"number": ')
    journal.append('{"number": 0}')
    journal.close()
    assert path.read_bytes() == b'{"number": 0}\n'


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_only_regular_files_are_read_and_nobody_waits(tmp_path, kind):
    path = tmp_path / "table.json"
    make(kind, path)
    for read in (read_regular, read_json):
        with pytest.raises(NotAFileError, match=KINDS[kind]):
            read(path)
    with pytest.raises(TableFormatError) as caught:
        load_table(path)
    assert str(caught.value) == f"cannot read the latency table {path}: {KINDS[kind]}"


def test_files_that_are_too_large_are_not_read(tmp_path):
    path = tmp_path / "x"
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole: it takes no space
    with pytest.raises(NotAFileError, match="it is larger than 2048 MiB"):
        read_regular(path)
    with pytest.raises(NotAFileError, match="it is larger than 256 MiB"):
        read_json(path)


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[-Infinity]",
        "1e999",
        "-1e400",
        "1" + "0" * 400,
        "9" * 100_000,
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        "[" * 65 + "]" * 65,
        '{"a": ' * 65 + "1" + "}" * 65,
        "\ufeff{}",
        "{} {}",
        "",
        b"\xff",
        '{"a": 1}'.encode("utf-16"),
    ],
)
def test_json_that_is_none_of_ours(text):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (of many kinds)
        strict_json(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "content", [{"a": [1, 2.5, None, True, "x"]}, 10**300, -1.5e308, json.loads("[" * 64 + "]" * 64)]
)
def test_json_that_is_fine(content):
    assert strict_json(json.dumps(content)) == content
    assert strict_json(json.dumps(content).encode()) == content


def test_a_pipe_as_a_table_ends_in_one_line_at_once(tmp_path):
    os.mkfifo(tmp_path / "t.json")
    for name in (tmp_path / "t.json", "/dev/zero"):
        done = subprocess.run(
            [sys.executable, "-m", "hwnas", "table", "show", str(name)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"hwnas: error: cannot read the latency table {name}: it is a ")


def test_a_look_at_a_journal_does_not_stop_who_opens_it(tmp_path):
    """`hwnas runs` holds a shared lock for a moment, to see whether a search is running."""
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "journal"
    path.touch()
    with path.open("rb") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        threading.Timer(0.005, lambda: fcntl.flock(look, fcntl.LOCK_UN)).start()
        LineJournal(path).close()
        fcntl.flock(look, fcntl.LOCK_SH)
        with pytest.raises(JournalInUseError):
            LineJournal(path)
