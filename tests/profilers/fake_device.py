"""A device that answers wrongly on purpose. Usage: fake_device.py DAMAGE COUNTER_FILE TIMES

Speaks the protocol by hand, without any module of ours. The first TIMES connections do the damage when they are asked
for a round, all others behave.
"""

import json
import sys
import time
from pathlib import Path

FACTS = {
    "cpu": {"cpu": "Fake", "cpu_revision": "", "architecture": "f", "isa": ["neon"], "core_mask": [0], "system": "F"},
    "environment": {"governor": None, "load_average": 0.5},
    "runtime_version": "1.0",
    "providers": ["CPUExecutionProvider"],
    "usable_cores": 1,
    "core_cache_bytes": 4096,
}
DEEP = b"[" * 100_000 + b"]" * 100_000
DAMAGES = {
    "deep": lambda number: b'{"id": ' + DEEP + b"}\n",
    "large": lambda number: b'{"id": %d, "seconds": [' % number + b"9" * 400 + b"]}\n",
    "payload": lambda number: b'{"id": %d, "seconds": [1.0], "bytes": 2000000000}\n' % number,
    "errors": lambda number: json.dumps({"id": number, "error": ["x"], "text": {"a": "\x1b[31m"}}).encode() + b"\n",
    "header": lambda number: b'{"id": %d, "seconds": [1.0]' % number,
    "torn": lambda number: b'{"seconds": [0.0',
    "garbage": lambda number: b"\x00\xff\x1b[31m garbage\n",
    "list": lambda number: b"[1, 2]\n",
    "size": lambda number: b'{"bytes": -5}\n',
    "other": lambda number: b'{"id": 12345, "seconds": [1.0]}\n',
    "endless": lambda number: b"x" * 20_000_000,
    "silent": lambda number: b"",
    "bug": lambda number: json.dumps({"id": number, "error": "bug", "text": "oh\n\x1b[31mno"}).encode() + b"\n",
    "nan": lambda number: b'{"id": %d, "seconds": [NaN]}\n' % number,
    "negative": lambda number: b'{"id": %d, "seconds": [-1.0]}\n' % number,
    "text": lambda number: b'{"id": %d, "seconds": ["1"]}\n' % number,
    "many": lambda number: b'{"id": %d, "seconds": [1.0, 1.0]}\n' % number,
    "infinite": lambda number: b'{"id": %d, "seconds": [1e999]}\n' % number,
}


ENDLESS = {"alive": b'{"alive": true}\n', "drip": b"x", "flood": b'{"alive": true}\n' * 1000}
"""What is sent for ever, by damage."""
GREETINGS = {
    "greets deep": b'{"hwnas-runner": 1, "missing": ' + DEEP[:30_000] + b"\n",
    "greets large": b'{"hwnas-runner": 1, "missing": "' + b"x" * 10_000_000 + b"\n",
    "greets number": b'{"hwnas-runner": 1, "missing": [' + b"9" * 60_000 + b"]}\n",
    "greets list": b'{"hwnas-runner": [1]}\n',
    "greets null": b'{"hwnas-runner": true}\n',
}


def for_ever(damage, out):
    """Never come to an end."""
    while damage == "stderr":
        sys.stderr.buffer.write(b"x" * 2**20)
    while True:
        out.write(ENDLESS[damage])
        out.flush()
        time.sleep(0.0 if damage == "flood" else 0.05)


def main(damage, counter, times):
    stream, out = sys.stdin.buffer, sys.stdout.buffer
    stream.readline()
    stream.read(json.loads(stream.readline())["size"])
    connection = len(counter.read_text()) if counter.exists() else 0
    counter.write_text("x" * (connection + 1))
    if damage in GREETINGS:
        out.write(GREETINGS[damage])
        out.flush()
        time.sleep(60)
    out.write(b'Welcome to the device!\nLast login: never\n{"hwnas-runner": 1, "missing": []}\n')
    out.flush()
    for line in stream:
        request = json.loads(line)
        answer = {"id": request["id"]}
        if request["do"] == "facts":
            answer.update(FACTS)
        if request["do"] == "round":
            answer["seconds"] = [1e-3] * len(request["sessions"])
            if connection < times and damage in (*ENDLESS, "stderr"):
                for_ever(damage, out)
            if connection < times:
                out.write(DAMAGES[damage](request["id"]))
                out.flush()
                if damage == "torn":
                    return
                time.sleep(60)
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
