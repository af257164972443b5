"""A model's own process must not outlive the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PARENT = """
import sys
from pathlib import Path
from types import SimpleNamespace
from matlens.system import child
child.sys = SimpleNamespace(executable={script!r})
child.run_child("train", {{}}, Path({log!r}), lambda event: print(event["pid"], flush=True))
"""

# The worker's own watch on its parent, around a "training" that would last for ten minutes.
WORKER = """
import json, os, sys, threading, time
from matlens.workers import main as worker
sys.stdin.readline()
threading.Thread(target=worker._die_with_parent, daemon=True).start()
print(json.dumps({"event": "started", "pid": os.getpid()}), flush=True)
time.sleep(600)
"""


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_child_goes_with_its_parent(tmp_path, how):
    """A killed or interrupted run would otherwise leave a training behind that holds memory for hours."""
    (tmp_path / "worker.py").write_text(WORKER)
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'worker.py'}\n")
    script.chmod(0o755)
    code = PARENT.format(script=str(script), log=str(tmp_path / "log"))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) as parent:  # a shell's `&`
        child = int(parent.stdout.readline())
        assert is_running(child)
        os.kill(parent.pid, how)
        parent.wait(timeout=300)
    deadline = time.monotonic() + 300
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def test_the_log_keeps_what_the_child_said(tmp_path, monkeypatch):
    """Only events go over standard output; a traceback must be found again in the log."""
    from types import SimpleNamespace

    from matlens.errors import WorkerError
    from matlens.system import child

    (tmp_path / "code.py").write_text("raise RuntimeError('out of luck')")
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'code.py'}\n")
    script.chmod(0o755)
    monkeypatch.setattr(child, "sys", SimpleNamespace(executable=str(script)))
    with pytest.raises(WorkerError, match=r"exit code 1.*logs/m\.log"):
        child.run_child("train", {}, tmp_path / "logs" / "m.log", lambda event: None)
    assert "out of luck" in (tmp_path / "logs" / "m.log").read_text()
