"""Where a command prints to, and on what: terminals without some letters, pipes without a reader, little memory."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from matlens.cli import main as command_line
from matlens.system import resources
from matlens.system.console import ESCAPES, Reporter, complain, echo
from matlens.system.resources import allowed_memory, available_memory, is_want_of_memory, too_little_memory

COMMANDS = (("--help",), ("data", "counts", "PHOTOS"), ("data", "find", "PHOTOS"), ("data", "audit", "PHOTOS"))


def command(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "matlens", *map(str, arguments)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", COMMANDS[:3], ids=" ".join)
def test_a_command_ends_quietly_where_nobody_reads_it(drawn: Path, words: tuple[str, ...], unbuffered: str) -> None:
    """As `| head -1` asks of it; a shell script with pipefail sees 141, as of any tool."""
    arguments = [str(drawn) if word == "PHOTOS" else word for word in words]
    with command(*arguments, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode, error) == (141, b"")


def test_an_error_that_nobody_reads_is_quiet(tmp_path: Path) -> None:
    """`2>&1 | true`."""
    with command("data", "counts", tmp_path / "no") as process:
        process.stderr.close()
        process.stdout.read()
    assert process.returncode == 141


def test_a_closed_standard_output_is_no_defect(drawn: Path, tmp_path: Path) -> None:
    """`>&-`; and no file of the command takes the number of the stream that libraries print to."""
    done = subprocess.run([sys.executable, "-m", "matlens", "data", "counts", str(drawn), "--json",
                           str(tmp_path / "counts.json")], stderr=subprocess.PIPE, check=False,
                          preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "counts.json").read_text()).popitem()[1]["sky"] == 12


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_lacks_a_letter_shows_an_escape(drawn: Path, tmp_path: Path, encoding: str) -> None:
    """On Windows a file or a pipe is in cp1252."""
    root = tmp_path / "фото"
    for name, other in (("brick", "砖"), ("sky", "небо")):
        shutil.copytree(drawn / name, root / other)
    for folder, code in ((root, 0), (tmp_path / "нет", 2)):
        with command("data", "counts", folder, env={**os.environ, "PYTHONIOENCODING": encoding}) as process:
            out, error = process.communicate()
        said = (out + error).decode(encoding)  # nothing else is in it
        assert process.returncode == code, said
        assert "defect" not in said and "Traceback" not in said
        assert "\\u" in said


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_lines_about_the_work_show_an_escape_too(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """In a script that nobody started by the command line, and whose streams are its own."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding))
    reporter = Reporter()
    reporter.say("[red] ä 砖")
    reporter.warn("ä 砖")
    echo("a")
    stream_json = json.dumps({"é😀": "\udcff"}, ensure_ascii=False).encode(encoding, ESCAPES).decode(encoding)
    assert json.loads(stream_json) == {"é😀": "\udcff"}
    complain("砖", "red", "error")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        said = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
        assert "砖" in said if encoding == "utf-8" else "\\u7816" in said


def test_little_memory_is_told_before_libraries_crash(drawn: Path) -> None:
    """With 400 MB of addresses NumPy's library ends in a segmentation fault."""
    least = resource.getrlimit(resource.RLIMIT_AS)[1]
    for megabytes in (400, 800):
        with command("data", "counts", drawn, preexec_fn=lambda limit=megabytes << 20: resource.setrlimit(
                resource.RLIMIT_AS, (limit, least))) as process:
            error = process.communicate()[1].decode()
        assert process.returncode == 2, error
        assert f"{(megabytes << 20) / 1e6:,.0f} MB" in error and "ulimit -v" in error


def test_the_limit_of_a_container_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel kills what goes beyond, without a word."""
    assert allowed_memory(tmp_path) is None
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("100000000\n")
    assert allowed_memory(tmp_path) == 100_000_000
    (tmp_path / "memory.max").write_text("50000000\n")
    assert allowed_memory(tmp_path) == 50_000_000
    (tmp_path / "memory.current").write_text("20000000\n")
    (meminfo := tmp_path / "meminfo").write_text("MemTotal: 90000 kB\nMemAvailable:   40000 kB\n")
    assert available_memory(tmp_path, meminfo) == 30_000_000, "what the container has left is less"
    assert available_memory(tmp_path / "none", meminfo) == 40_000 * 1024
    assert available_memory(tmp_path / "none", tmp_path / "none") is None
    monkeypatch.setattr(resources, "allowed_memory", lambda: 50_000_000)
    assert "50 MB" in (too_little_memory() or "")


@pytest.mark.parametrize(("error", "expected"), [
    (MemoryError(), True), (OSError(12, "Cannot allocate memory"), True),
    (RuntimeError("can't start new thread"), True),
    (ImportError("libx.so: failed to map segment from shared object"), True), (RuntimeError("std::bad_alloc"), True),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
    (type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor"), True),
    (ValueError("out of memory"), False), (ImportError("No module named 'torch'"), False),
    (OSError(28, "full"), False)])
def test_errors_that_tell_of_memory_are_known(monkeypatch, capsys, error: Exception, expected: bool) -> None:
    """Whether it is the error itself or its reason; then the message names memory, and no defect."""
    assert is_want_of_memory(error) is expected
    later = ImportError("numpy cannot be imported")
    later.__cause__ = error
    assert is_want_of_memory(later) is expected

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", fail)
    monkeypatch.setattr("sys.argv", ["matlens", "data", "find"])
    with pytest.raises(SystemExit) as stopped:
        command_line.main()
    said = capsys.readouterr().err
    if expected:
        assert stopped.value.code == 2 and "memory" in said and "defect" not in said
