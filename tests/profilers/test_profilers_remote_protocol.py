"""What travels between here and a device, whole and damaged; what is sent there runs on an old Python."""

import ast
import contextlib
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_tables import GraphBuilder
from profilers import DeviceUnavailableError, SshBackend, ops
from profilers._remote._address import _START, Address, parse_address
from profilers._remote._archive import MODULES, runner_archive
from profilers._remote._backend import RemoteGroup, RemoteRunnable
from profilers._remote._device import RemoteDevice
from profilers._remote._facts import read_facts, read_samples
from profilers._remote._protocol import Decoder, ProtocolError, encode
from profilers._remote._store import ModelStore, digest_of

ROOT = Path(__file__).resolve().parent.parent.parent
FAKE = Path(__file__).with_name("fake_device.py")


@pytest.fixture(autouse=True)
def _no_long_farewell(monkeypatch):
    """Devices of these tests that have failed do not end by themselves: nobody waits for them."""
    monkeypatch.setattr("profilers._remote._link._ENDING_S", 0.1)


class FakeAddress(Address):
    """An address whose command is not ssh."""

    def command(self):
        return list(self.words)


def fake_device(tmp_path, damage, times, **options):
    address = FakeAddress("fake")
    object.__setattr__(address, "words", [sys.executable, str(FAKE), damage, str(tmp_path / "count"), str(times)])
    return RemoteDevice(address, threads=1, waits_s=(0.01, 0.01), silence_s=options.pop("silence_s", 10.0), **options)


def one_round(device):
    return RemoteRunnable(device, RemoteGroup(device), lambda: b"model", 0).run(1)


@pytest.mark.parametrize("damage", ["torn", "garbage", "list", "size", "other", "endless", "silent"])
def test_a_damaged_answer_is_asked_for_again(tmp_path, damage):
    said = []
    silence = 0.5 if damage == "silent" else 10.0
    device = fake_device(tmp_path, damage, 1, progress=said.append, silence_s=silence)
    assert one_round(device) == 1e-3
    assert device.lost == 1
    assert device.seconds_away() > (0.5 if damage == "silent" else 0.0)  # the silence counts, too
    (line,) = said
    assert line.startswith("connection to ssh://fake lost (")
    assert line.endswith("); reconnecting in 0.01 s, attempt 1 of 2")
    assert line.isprintable()
    device.close()


def test_a_device_that_keeps_failing_is_given_up(tmp_path):
    device = fake_device(tmp_path, "garbage", 99)
    with pytest.raises(DeviceUnavailableError, match=r"was lost .* run the same command again to resume") as found:
        one_round(device)
    assert str(found.value).isprintable()
    assert len((tmp_path / "count").read_text()) == 3


def test_a_connection_that_rested_long_is_made_anew_without_a_word(tmp_path, monkeypatch):
    said = []
    device = fake_device(tmp_path, "torn", 0, progress=said.append)
    monkeypatch.setattr("profilers._remote._device.REST_S", 0.0)
    assert one_round(device) == 1e-3
    assert len((tmp_path / "count").read_text()) > 1
    assert (said, device.lost, device.seconds_away()) == ([], 0, 0.0)
    device.close()


@pytest.mark.parametrize("damage", ["nan", "negative", "text", "many", "infinite", "bug"])
def test_numbers_that_cannot_be_are_refused(tmp_path, damage):
    device = fake_device(tmp_path, damage, 99)
    said = {"bug": r"^ssh://fake: oh \[31mno$", "nan": "is not a message", "infinite": "is not a message"}
    text = said.get(damage, "returned an invalid measurement")
    with pytest.raises(DeviceUnavailableError, match=text) as found:
        one_round(device)
    assert str(found.value).isprintable()
    device.close()


@pytest.mark.parametrize("damage", ["alive", "drip", "deep", "large", "payload", "flood", "errors", "header", "stderr"])
def test_no_device_holds_anybody_up_or_fills_the_memory(tmp_path, damage):
    silence = 0.7 if damage in ("alive", "drip", "header", "flood", "stderr") else 10.0
    device = fake_device(tmp_path, damage, 99, silence_s=silence)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(DeviceUnavailableError) as found:
        one_round(device)
    assert time.monotonic() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 700


@pytest.mark.parametrize("damage", ["greets deep", "greets large", "greets number", "greets list", "greets null"])
def test_greetings_that_are_none_are_refused(tmp_path, damage):
    with pytest.raises(DeviceUnavailableError, match=r"^cannot reach ssh://fake: the device"):
        fake_device(tmp_path, damage, 99)


def test_a_payload_is_taken_where_it_was_asked_for_and_up_to_its_limit():
    data = encode({"id": 1}, b"12345")
    for most, fits in ((5, True), (4, False), (0, False)):
        decoder = Decoder(most_payload=most)
        decoder.feed(data)
        if fits:
            assert decoder.next() == ({"id": 1}, b"12345")
        else:
            with pytest.raises(ProtocolError, match=f"a payload of 5 bytes, but at most {most} were requested"):
                decoder.next()


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": None},
        {"core_cache_bytes": 10**400},
        {"environment": {"x": 10**300}},
        {"cpu": {"cpu": 3}},
        {"environment": {"load_average": float("inf")}},
        {"environment": {"x": ["y"]}},
        {"usable_cores": "2"},
        {"usable_cores": -1},
        {"providers": "cpu"},
        {"runtime_version": "1" * 5000},
    ],
)
def test_facts_of_the_wrong_type_are_refused(change):
    from fake_device import FACTS

    assert read_facts(FACTS, "it").usable_cores == 1
    with pytest.raises(DeviceUnavailableError, match=r"^it sent an invalid fact: "):
        read_facts({**FACTS, **change}, "it")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.dictionaries(st.text(), st.integers()), st.binary()), max_size=5), st.integers(1, 7))
def test_messages_survive_any_cutting(messages, step):
    messages = [({k: v for k, v in message.items() if k != "bytes"}, payload) for message, payload in messages]
    data, decoder, found = b"".join(encode(*one) for one in messages), Decoder(most_payload=2**20), []
    for start in range(0, len(data), step):
        decoder.feed(data[start : start + step])
        while (one := decoder.next()) is not None:
            found.append(one)
    assert found == messages


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=1))
def test_any_bytes_are_a_message_or_an_error(data):
    decoder = Decoder()
    decoder.feed(data + b"\n")
    try:
        found = decoder.next()
    except ProtocolError:
        return
    assert found is None or isinstance(found[0], dict)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ssh://board", ["--", "board"]),
        ("ssh://me@board.local:2222", ["-p", "2222", "-l", "me", "--", "board.local"]),
        ("ssh://[fe80::1%eth0]:22", ["-p", "22", "--", "fe80::1%eth0"]),
    ],
)
def test_addresses(text, words, monkeypatch):
    monkeypatch.delenv("HWNAS_SSH", raising=False)
    address = parse_address(text)
    assert str(address) == text
    command = address.ssh()
    assert command[0] == "ssh"
    assert command[-len(words) :] == words
    assert {"BatchMode=yes", "RemoteCommand=none"} <= set(command)
    assert not any("StrictHostKeyChecking" in word or "UserKnownHostsFile" in word for word in command)


@pytest.mark.parametrize(
    "text",
    [
        "ssh://",
        "ssh://-oProxyCommand=touch x",
        "ssh://-l@host",
        "ssh://host:0",
        "ssh://host:70000",
        "ssh://host/path",
        "ssh://a b",
        "ssh://host;reboot",
        "ssh://me:secret@host",
        "ssh://$(id)@host",
        "ssh://host\n",
    ],
)
def test_addresses_that_are_none(text):
    with pytest.raises(DeviceUnavailableError, match=r"cannot read the device .*; write it like ssh://user@host"):
        parse_address(text)


def test_the_remote_command_is_quoted(monkeypatch):
    monkeypatch.setenv("HWNAS_DEVICE_PYTHON", "/opt/my python; reboot")
    assert parse_address("ssh://board").command()[-1].startswith("'/opt/my python; reboot' -c 'import sys;")
    monkeypatch.setenv("HWNAS_SSH", "ssh 'unfinished")
    with pytest.raises(DeviceUnavailableError, match="cannot read HWNAS_SSH="):
        parse_address("ssh://board").command()


def without_annotations(tree):
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, None)
    return tree


@pytest.mark.parametrize("name", [*MODULES, "profilers/_remote/_bootstrap.py"])
def test_what_runs_on_devices_keeps_to_python_3_9_and_three_libraries(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    tree = without_annotations(ast.parse(text, feature_version=(3, 9)))
    packed = {module.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for module in MODULES}
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            assert not any(isinstance(x, ast.Constant) and x.value is None for x in (node.left, node.right)), name
        if isinstance(node, ast.Call):
            assert "strict" not in [keyword.arg for keyword in node.keywords], name
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module]
        for module in modules:
            top = module.split(".")[0]
            known = top in sys.stdlib_module_names or top in ("numpy", "onnxruntime", "psutil")
            assert known or module in packed or module in ("latency_tables", "pynvml"), (name, module)


def test_the_archive_is_small_always_the_same_and_runs_alone(tmp_path):
    path = tmp_path / "runner.pyz"
    path.write_bytes(runner_archive())
    runner_archive.cache_clear()
    assert hashlib.sha256(runner_archive()).hexdigest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size < 60_000
    assert set(MODULES) < set(zipfile.ZipFile(path).namelist())
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, str(path), "serve", str(tmp_path / "home")],
        input=encode({"do": "facts", "id": 1}) + encode({"do": "dance", "id": 2}),
        capture_output=True,
        cwd=tmp_path,
        env=clean,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert lines[0]["missing"] == []
    # its input has closed: it may have ended before it answered, and then at once
    assert all(line.get("id") in (1, 2) for line in lines[1:])


def test_the_store_keeps_whole_models_only_and_not_too_many(tmp_path):
    store = ModelStore(tmp_path / "models", most=100)
    contents = [bytes([i]) * 40 for i in range(3)]
    for i, content in enumerate(contents):
        store.put(digest_of(content), content)
        os.utime(store.path(digest_of(content)), (i, i))
    assert [store.path(digest_of(content)) is not None for content in contents] == [False, True, True]
    with pytest.raises(ValueError, match="damaged in transfer"):
        store.put(digest_of(b"other"), b"something")
    for name in ("../../etc/passwd", "a" * 63, 7, None, digest_of(b"") + "\n"):
        with pytest.raises(ValueError, match="must be named by its SHA-256 hash"):
            store.path(name)
    assert len(list((tmp_path / "models").iterdir())) == 2


def test_what_lies_in_the_store_is_believed_only_if_it_is_what_it_is_called(tmp_path):
    store, content = ModelStore(tmp_path / "models"), b"a model"
    digest = digest_of(content)
    path = tmp_path / "models" / f"{digest}.onnx"
    (tmp_path / "precious").write_bytes(content)
    for plant in (
        lambda: path.write_bytes(b"another model"),
        lambda: path.write_bytes(b""),
        lambda: path.symlink_to(tmp_path / "precious"),
        lambda: os.mkfifo(path),
        lambda: (path.write_bytes(content), path.chmod(0o666)),
    ):
        plant()
        assert store.path(digest) is None
        assert not os.path.lexists(path)
        plant()
        store.put(digest, content)
        assert store.path(digest).read_bytes() == content
        path.unlink()
    assert (tmp_path / "precious").read_bytes() == content


def test_a_store_that_others_may_write_into_becomes_private(tmp_path):
    (tmp_path / "models").mkdir(mode=0o777)
    (tmp_path / "models").chmod(0o777)
    ModelStore(tmp_path / "models")
    assert (tmp_path / "models").stat().st_mode & 0o077 == 0
    (tmp_path / "link").symlink_to(tmp_path / "models")
    with pytest.raises(OSError, match="does not belong to this user alone"):
        ModelStore(tmp_path / "link")


class Left(Exception):
    """The bootstrap would have become the runner."""


def bootstrap(home, monkeypatch, archive=b"the runner", name="runner-1.pyz"):
    """Run the bootstrap here; what it would execute, or what it answers."""
    from profilers._remote import _bootstrap

    def leave(program, words):
        raise Left(words[1])

    monkeypatch.setattr(os, "execv", leave)
    monkeypatch.chdir(home.parent)
    order = {"do": "serve", "cache": str(home), "name": name, "size": len(archive)}
    out, before = io.StringIO(), os.umask(0o022)
    try:
        with contextlib.redirect_stdout(out):
            _bootstrap.begin(io.BytesIO(json.dumps(order).encode() + b"\n" + archive))
    except Left as left:
        return Path(str(left))
    finally:
        os.umask(before)
    return json.loads(out.getvalue())["error"]


@pytest.mark.parametrize("plant", ["other", "as long", "link", "writable"])
def test_a_planted_runner_is_replaced(tmp_path, monkeypatch, plant):
    home = tmp_path / "cache"
    runner = bootstrap(home, monkeypatch)
    assert runner == home / "runner-1.pyz"
    assert home.stat().st_mode & 0o777 == 0o700
    before = runner.stat().st_ino
    assert bootstrap(home, monkeypatch) == runner
    assert runner.stat().st_ino == before
    if plant == "link":
        (tmp_path / "evil").write_bytes(b"the runner")
        runner.unlink()
        runner.symlink_to(tmp_path / "evil")
    elif plant == "writable":
        runner.chmod(0o666)
    else:
        runner.write_bytes(b"not runner" if plant == "as long" else b"")
    assert bootstrap(home, monkeypatch) == runner
    assert not runner.is_symlink()
    assert runner.read_bytes() == b"the runner"
    assert runner.stat().st_mode & 0o077 == 0


def test_a_cache_folder_that_others_may_write_becomes_private(tmp_path, monkeypatch):
    home = tmp_path / "cache"
    home.mkdir()
    home.chmod(0o777)
    assert bootstrap(home, monkeypatch) == home / "runner-1.pyz"
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_cache_folder_where_others_rule_is_refused(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert bootstrap(shared / "cache", monkeypatch).endswith(
        f"is in {shared}, where other users may write; name another folder with HWNAS_DEVICE_CACHE"
    )
    shared.chmod(0o1777)  # as /tmp is: nobody can put another folder there
    assert bootstrap(shared / "cache", monkeypatch) == shared / "cache" / "runner-1.pyz"
    if os.geteuid() == 0:
        os.chown(shared / "cache", 1234, 1234)
        assert "belongs to another user" in bootstrap(shared / "cache", monkeypatch)
        os.chown(shared / "cache", 0, 0)
        os.chown(shared, 1234, 1234)
        assert "which belongs to another user" in bootstrap(shared / "cache", monkeypatch)


def test_a_link_is_followed_once_and_for_all(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert bootstrap(tmp_path / "link", monkeypatch) == tmp_path / "real" / "runner-1.pyz"


def test_a_group_is_asked_round_by_round_in_the_order_of_the_local_path():
    from profilers import SamplingSettings, Timer

    class Group:
        def __init__(self):
            self.orders = []

        def fastest(self, runnables, warmup_runs):
            return [runnable.seconds for runnable in runnables]

        def time_round(self, runnables, repeats, priming_runs):
            self.orders.append([runnable.name for runnable in runnables])
            return [runnable.seconds * n for runnable, n in zip(runnables, repeats, strict=True)]

        def seconds_away(self):
            return 0.0

    class Alone:
        def __init__(self, name, seconds, log):
            self.name, self.seconds, self.log = name, seconds, log

        def run(self, repeats):
            self.log.append(self.name)
            return repeats * self.seconds

    group, log, five = Group(), [], SamplingSettings(min_rounds=5, max_rounds=5)
    alone = {str(i): Alone(str(i), 1e-4 * (i + 1), log) for i in range(6)}
    together = {name: Alone(name, one.seconds, []) for name, one in alone.items()}
    for one in together.values():
        one.group = group
    there, here = Timer(together, five).run(), Timer(alone, five).run()
    assert {n: (s.repeats, s.stop) for n, s in there.items()} == {n: (s.repeats, s.stop) for n, s in here.items()}
    for name, one in here.items():
        assert there[name].seconds == pytest.approx(one.seconds, rel=1e-12)
    rounds = np.array(log[-60::2]).reshape(5, 6).tolist()
    assert group.orders == rounds
    together["0"].group = Group()  # of two devices: no round of one is a round of the other
    Timer(together, five).run()
    assert len(group.orders) == 5


class HereAddress(Address):
    """This machine, without ssh: what is sent to a device runs here."""

    def command(self):
        return [sys.executable, "-c", _START]


def test_the_whole_way_without_ssh(tmp_path, monkeypatch):
    monkeypatch.setenv("HWNAS_DEVICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr("profilers._remote._backend.parse_address", lambda text: HereAddress("here"))
    backend = SshBackend("ssh://here", image_channels=1)
    builder = GraphBuilder((1, 8, 8))
    graph = builder.build(builder.add("entry", ops.conv((1, 8, 8), 4, 3, act="relu"), "input"))
    assert backend.load(graph).run(3) > 0
    (model,) = (tmp_path / "cache" / "models").glob("*.onnx")
    for content in (b"", b"another network"):
        model.write_bytes(content)
        backend.device.close()  # a new connection opens the model anew
        assert backend.load(graph).run(3) > 0
        assert digest_of(model.read_bytes()) == model.stem
    assert backend.arena_bytes([model])[0] is not None
    assert backend.environment()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    backend.device.close()


def test_what_a_login_shell_writes_before_the_greeting_does_not_matter(tmp_path, monkeypatch):
    class Titled(HereAddress):
        def command(self):
            title = "import sys; sys.stdout.write('\\x1b]0;board\\x07'); sys.stdout.flush(); "
            return [sys.executable, "-c", title + _START]

    monkeypatch.setenv("HWNAS_DEVICE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr("profilers._remote._link.GREETING_S", 20.0)
    device = RemoteDevice(Titled("here"), threads=1)
    assert device.facts.usable_cores >= 1
    device.close()


def test_results_of_many_graphs_are_read_and_impossible_times_refused():
    names = [f"n{i}" for i in range(10_000)]
    record = {name: {"repeats": 1, "seconds": [1e-3], "moments": [0], "stop": "cap"} for name in names}
    assert len(read_samples(record, names, "r.json")) == len(names)
    record["n7"]["seconds"] = [1e14]
    with pytest.raises(DeviceUnavailableError, match="invalid measurement"):
        read_samples(record, names, "r.json")
