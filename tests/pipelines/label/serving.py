"""Servers that tests start on this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import time

import pytest

from tests.conftest import ROOT

requests = pytest.importorskip("requests")  # comes with MONAI Label


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """A process with an address."""

    def __init__(self, command, url, folder, ready, headers=None, **environment):
        self.url, self.log, self.headers = url, folder / "server.log", headers or {}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **environment}
            )
        for _ in range(240):
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                if self("GET", ready).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.5)
        raise AssertionError(self.log.read_text()[-3000:])

    def __call__(self, method, path, **arguments):
        headers = self.headers | arguments.pop("headers", {})
        return requests.request(method, f"{self.url}{path}", timeout=600, headers=headers, **arguments)

    def good(self, method, path, **arguments):
        answer = self(method, path, **arguments)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text[:300]}\n{self.log.read_text()[-3000:]}"
        return answer

    def said(self, text):
        """Whether the log has it, which is written after the answer."""
        for _ in range(20):
            if text in self.log.read_text():
                return True
            time.sleep(0.5)
        return False

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
