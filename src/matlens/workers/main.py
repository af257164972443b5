"""The child process: `python -m matlens.workers.main`, started by `matlens.system.transport.ChildProcess`.

Reads the name of a job and its task (JSON, a line) from standard input, does the job, and tells of it on standard
output, one JSON object a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from typing import Any

from matlens.errors import MatlensError
from matlens.models.preflight import explained, trouble_of
from matlens.system.files import why_unwritable
from matlens.system.openvino import without_telemetry
from matlens.system.resources import MORE_MEMORY, is_want_of_memory, of_limit
from matlens.system.untrusted import in_short
from matlens.workers.registry import job_named


class Events:
    """Sends events as JSON lines to standard output; see `Tell`."""

    def __init__(self) -> None:
        # Frameworks print to standard output; only events may, so it becomes standard error for all others.
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def __call__(self, event: str, **content: Any) -> None:
        """Send an event."""
        self._out.write(json.dumps({"event": event, **content}) + "\n")
        self._out.flush()


def die_with_parent() -> None:
    """Wait until the parent closes standard input or is gone, then end this process and all that it started."""
    sys.stdin.read()
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():  # a library's forks, too
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def main() -> int:
    """Do one job. Returns the exit code: 0 if it ended well."""
    without_telemetry()  # Keras imports OpenVINO by itself where that is its backend
    tell = Events()
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=die_with_parent, daemon=True).start()
    try:
        job_named(order["job"]).run(order["task"], tell)
        tell("done")
    except Exception as error:  # noqa: BLE001 -- told to the parent, which raises it
        # Told first: on a full disk the log cannot be written.
        is_ours = isinstance(error, MatlensError)
        unwritten = None if is_ours else why_unwritable(error)
        trouble = None if is_ours else trouble_of(error)
        if trouble:
            tell("failed", kind="KilledError" if trouble == "no memory" else "DeviceError",
                 message=explained(trouble, "the GPU", "the framework", said=f"{type(error).__name__}: {error}"))
        elif not is_ours and is_want_of_memory(error):
            tell("failed", kind="KilledError", message="the memory that its process may use"
                 f"{of_limit()} does not suffice ({type(error).__name__}: {in_short(str(error))}). {MORE_MEMORY}")
        else:
            tell("failed", kind="WriteError" if unwritten else type(error).__name__,
                 message=f"Cannot write: {unwritten[1]} ({error})" if unwritten else str(error))
        with contextlib.suppress(OSError):
            traceback.print_exc()
        return 2 if is_ours else 1
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    code = main()
    # Frameworks' threads can hang or crash on the way out; everything is written by now.
    sys.stderr.flush()
    os._exit(code)
