"""A real OpenSSH server on loopback, run as an ordinary process with keys and settings of its own."""

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil

NAME = "board"
"""What the client's configuration calls the server."""


def server_program():
    return shutil.which("sshd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def why_not():
    """Why there can be no server here; empty where there can be."""
    if server_program() is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        return "OpenSSH's server or client is not installed"
    if os.geteuid() == 0:  # it wants an empty folder to lock itself into
        try:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        except OSError:
            return "/run/sshd cannot be made"
    return ""


class SshServer:
    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for name in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True, timeout=30
            )
        self.write_server_config()
        host_key = (folder / "host_key.pub").read_text().split()[:2]
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {' '.join(host_key)}\n")
        self.write_client_config("known_hosts")
        self.process = None

    def write_server_config(self):
        (self.folder / "sshd_config").write_text(
            f"Port {self.port}\n"
            "ListenAddress 127.0.0.1\n"
            f"HostKey {self.folder / 'host_key'}\n"
            f"AuthorizedKeysFile {self.folder / 'user_key.pub'}\n"
            f"PidFile {self.folder / 'pid'}\n"
            "StrictModes no\n"
            "UsePAM no\n"
            "PasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n"
            "PermitRootLogin yes\n"
            "MaxStartups 100\n"
        )

    def write_client_config(self, known_hosts):
        path = self.folder / f"config-{known_hosts}"
        path.write_text(
            f"Host {NAME}\n"
            "  HostName 127.0.0.1\n"
            f"  Port {self.port}\n"
            f"  User {getpass.getuser()}\n"
            f"  IdentityFile {self.folder / 'user_key'}\n"
            "  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder / known_hosts}\n"
            "  GlobalKnownHostsFile /dev/null\n"
        )
        return path

    def start(self):
        command = [server_program(), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError((self.folder / "log").read_text())

    def stop(self):
        self.kill_sessions()
        self.process.terminate()
        self.process.wait(10)

    def kill_sessions(self):
        """End the server's side of every connection; returns how many there were."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        found = 0
        for child in children:
            try:
                if child.name().startswith("sshd"):
                    child.kill()
                    found += 1
            except psutil.NoSuchProcess:
                continue
        return found

    def environment(self, cache, known_hosts="known_hosts", python=sys.executable):
        """Variables with which hwnas finds this server as a device."""
        config = self.write_client_config(known_hosts)
        return {
            "HWNAS_SSH": shlex.join(["ssh", "-F", str(config)]),
            "HWNAS_DEVICE_PYTHON": str(python),
            "HWNAS_DEVICE_CACHE": str(cache),
        }


def runners(cache):
    """Processes that run from a device's cache folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(cache) in word for word in process.info["cmdline"] or []):
            found.append(process)
    return found


def gone(cache, seconds=20.0):
    """Whether no runner of a cache folder is left within some seconds."""
    deadline = time.monotonic() + seconds
    while runners(cache) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not runners(cache)


class Killer(threading.Thread):
    """Ends a connection at random moments, on this side and on the server's in turn; lets some work be done between."""

    def __init__(self, device, server, times, between=50, delay_s=0.02):
        super().__init__(daemon=True)
        self.device, self.server, self.times = device, server, times
        self.between, self.delay_s = between, delay_s
        self.rng, self.done, self.killed, self.over = np.random.default_rng(0), 0, [], False
        once = device._once

        def counted(link, request, payload=b"", **limits):
            answer = once(link, request, payload, **limits)
            self.done += {"ping": 1, "fastest": 15, "round": 15}.get(request["do"], 0)
            return answer

        device._once = counted

    def run(self):
        while len(self.killed) < self.times and not self.over:
            wanted = self.done + int(self.rng.integers(1, self.between))
            while self.done < wanted and not self.over:
                time.sleep(0.001)
            time.sleep(float(self.rng.uniform(0, self.delay_s)))
            link = self.device._link
            if len(self.killed) % 2:
                self.killed.append("server") if self.server.kill_sessions() else None
            elif link is not None and link.process.poll() is None:
                link.process.kill()
                self.killed.append("client")
