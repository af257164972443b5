"""Jobs in a child process: it must not outlive its parent, and its end, good or bad, must be told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from matlens.errors import KilledError, WeightsError, WorkerError
from matlens.system import transport

PARENT = """
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from matlens.system import transport

@dataclass
class Nothing:
    pass

transport.sys = SimpleNamespace(executable={script!r})
transport.run_job("sleep", Nothing(), Path({log!r}), lambda event: print(event["pid"], flush=True))
"""

# The worker's own watch on its parent, around a "training" that would last for ten minutes.
WORKER = """
import json, os, sys, threading, time
from matlens.workers import main as worker
sys.stdin.readline()
threading.Thread(target=worker.die_with_parent, daemon=True).start()
print(json.dumps({"event": "started", "pid": os.getpid()}), flush=True)
time.sleep(600)
"""


@dataclass(frozen=True)
class Nothing:
    """A task without a field."""


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def interpreter(folder: Path, code: str) -> Path:
    """A stand-in for Python that runs this code, whatever it is asked for."""
    (folder / "code.py").write_text(code)
    script = folder / "python"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {folder / 'code.py'}\n")
    script.chmod(0o755)
    return script


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_child_goes_with_its_parent(tmp_path, how):
    """A killed or interrupted run would otherwise leave a training behind that holds memory for hours."""
    code = PARENT.format(script=str(interpreter(tmp_path, WORKER)), log=str(tmp_path / "log"))
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


@pytest.mark.parametrize(("code", "error", "fact"), [
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", KilledError, "memory"),
    ("raise SystemExit(3)", WorkerError, "exit code 3"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", WorkerError, "SIGTERM"),
    ("print('{\"event\": \"failed\", \"kind\": \"WeightsError\", \"message\": \"no file\"}')", WeightsError, "no file"),
    ("raise RuntimeError('out of luck')", WorkerError, r"exit code 1.*logs/m\.log")])
def test_a_child_that_ends_badly_is_told(tmp_path, monkeypatch, code, error, fact):
    """Killed for memory, crashed, or failed with a message of ours; a traceback is found again in the log."""
    monkeypatch.setattr(transport, "sys", SimpleNamespace(executable=str(interpreter(tmp_path, code))))
    with pytest.raises(error, match=fact):
        transport.run_job("train", Nothing(), tmp_path / "logs" / "m.log")
    assert ("out of luck" in (tmp_path / "logs" / "m.log").read_text()) == ("out of luck" in code)


HUNGRY = """
from dataclasses import dataclass
from matlens.workers.registry import job

@dataclass(frozen=True)
class Nothing:
    pass

@job("hungry")
def hungry(task: Nothing, tell):
    print("砖")
    raise {error}
"""


@pytest.mark.parametrize("error", ["MemoryError()", "ImportError('libx.so: failed to map segment from shared object')"])
def test_a_job_without_memory_says_so_and_its_log_is_in_utf_8(tmp_path, monkeypatch, error):
    """It counts as one that the system killed for want of memory, so that `--batch-size auto` goes on in parts."""
    (tmp_path / "plugin.py").write_text(HUNGRY.format(error=error))
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with pytest.raises(KilledError, match="memory"):
        transport.run_job("hungry", Nothing(), tmp_path / "log",
                          environment={"MATLENS_PLUGINS": str(tmp_path / "plugin.py")})
    assert "砖" in (tmp_path / "log").read_text("utf-8")
