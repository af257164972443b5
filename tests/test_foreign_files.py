"""Files whose paths come from outside of the package are opened in one way: regular, bounded, and never waited for."""

from __future__ import annotations

import ast
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import matlens
from attacks import at_once
from matlens.system.untrusted import (
    JSON_LIMIT,
    VALUES_LIMIT,
    open_regular,
    parse_json,
    quoted,
    read_bounded,
    read_text,
    read_toml,
    size_of_regular,
)
from matlens.system.untrusted_arrays import map_array

PACKAGE = Path(matlens.__file__).parent

OPENERS = {"open", "np.load", "numpy.load", "Image.open", "h5py.File", "tomllib.load",
           "zipfile.ZipFile", "tarfile.open", "torch.load", "gzip.open", "np.fromfile", "np.memmap"}
"""Calls that open a path, by their last words; of `X.open` and `open` those that read."""

CHECKED = {"open_regular", "size_of_regular", "read_bounded", "inside", "content_of"}
"""A function that calls one of these has checked the file, before a library opens the path by itself."""

NOT_FOREIGN = {
    "report/templating.py": "files of the package",
    "serving/frame.py::page_files": "files of the package",
    "serving/uploads.py::_unpacked": "bytes in memory",
    "features/precision/instructions.py::instructions_in": "the kernel's own files",
    "system/cluster/looking.py": "the package's code, shared regular files, and a sign that another machine left there",
    "system/devices.py::usable_cores": "the kernel's own files",
    "system/resources.py::allowed_memory": "the kernel's own files",
    "system/resources.py::available_memory": "the kernel's own files",
    "runs/provenance.py": "the kernel's own files, and what pip noted of the package",
    "features/model_file.py": "a copy that this process has just made",
    "models/keras/classifier.py": "a file that this process has just written",
    "explanation/artifact_model.py": "what the package's own child process has written for this one",
    "workers/jobs/attention.py": "what the package's own parent process has written for this one",
    "workers/jobs/gradients.py": "what the package's own parent process has written for this one",
    "models/weights.py::_download": "a file that pooch has just written",
    "data/pixels/decode.py": "bytes in memory",
    "data/audit/photo_facts.py::_header": "bytes in memory",
}
"""Places that open what nobody else has made, by file or by file and function, and what that is."""


def name_of(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else getattr(node, "attr", "")


def mode_of(call: ast.Call, position: int) -> str:
    given = [word.value for word in call.keywords if word.arg == "mode"] or call.args[position:position + 1]
    return given[0].value if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str) else "r"


def bare_opens(file: str, tree: ast.AST) -> Iterator[str]:
    """Yield each function that opens a path to read it and does not check it."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]  # those of inner functions, too
        if CHECKED & {name_of(call.func) for call in calls}:
            continue
        for call in calls:
            name = name_of(call.func)
            last = name.rpartition(".")[2]
            method = isinstance(call.func, ast.Attribute)
            opens = name in OPENERS or (method and last in ("read_text", "read_bytes")) or (
                method and last == "open" and mode_of(call, 0) == "rb")
            if opens and "r" in mode_of(call, 1 if name in ("open", "h5py.File") else 0):
                yield f"{file}::{function.name}: {ast.unparse(call)[:80]}"


def test_bare_opens_are_found() -> None:
    """Else the next test would hold nothing."""
    code = ("def a(p):\n    p.read_text()\ndef b(p):\n    with p.open('wb'): open(p, 'ab')\n"
            "def c(p):\n    size_of_regular(p)\n    np.load(p)\ndef d(p):\n    Image.open(p); p.open('rb'); open(p)\n")
    assert [place.split(": ")[0] for place in bare_opens("x.py", ast.parse(code))] == ["x.py::a", *["x.py::d"] * 3]


def test_no_foreign_path_is_opened_without_a_check() -> None:
    """A pipe is waited for without end, a device never ends, and a sparse file of 60 GB does not fit into memory."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        if not file.startswith("system/untrusted"):
            wrong += [place for place in bare_opens(file, ast.parse(path.read_text("utf-8")))
                      if file not in NOT_FOREIGN and place.split(": ")[0] not in NOT_FOREIGN]
    assert not wrong, "\n".join(wrong)


def test_places_that_open_their_own_files_are_there() -> None:
    """A list of exceptions must not outlive them."""
    assert [place for place in NOT_FOREIGN if not (PACKAGE / place.split("::")[0]).is_file()] == []


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def socket(path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize("make", [pipe, device, socket, Path.mkdir], ids=lambda make: make.__name__)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    """By every reader, and by its name."""
    path = tmp_path / "x"
    make(path)  # type: ignore[operator]
    for read in (open_regular, size_of_regular, map_array, read_toml, lambda path: read_text(path, 100)):
        with at_once(), pytest.raises(ValueError, match="x"):
            read(path)


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path: Path, monkeypatch) -> None:
    """Between the look at a file and its opening anything may happen: what was opened is looked at again."""
    os.mkfifo(tmp_path / "x")
    monkeypatch.setattr("matlens.system.untrusted.size_of_regular", lambda path: 5)
    with at_once(), pytest.raises(ValueError, match="x"):
        open_regular(tmp_path / "x")


def test_a_sparse_file_takes_no_memory(tmp_path: Path) -> None:
    """60 GB that lie on no disk are refused by their size."""
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate(60 << 30)
    with at_once(), pytest.raises(ValueError, match=str(JSON_LIMIT)):
        read_bounded(path, JSON_LIMIT)


def test_a_file_of_the_kernel_is_read_to_its_end() -> None:
    """Such files state that they have no bytes."""
    assert read_bounded(Path("/proc/self/status"), 100_000).startswith(b"Name:")
    with pytest.raises(ValueError, match="10 bytes"):
        read_bounded(Path("/proc/self/status"), 10)


@pytest.mark.parametrize(("content", "fact"), [
    (b'{"a": NaN}', "NaN"), (b"[-Infinity]", "Infinity"), (b"[1e999]", "1e999"), (b'{"a": 1, "b": 2, "a": 3}', "'a'"),
    (b"[" + b"9" * 5000 + b"]", "digits"), (b"\xff\xfe{\x00}\x00", "UTF-16"), (b"\xfe\xff\x00{\x00}", "UTF-16"),
    (b"[" * 200 + b"]" * 200, "100 deep"), (b"[" * 100_000, "100 deep"), (b'{"a":' * 100_000, "100 deep")])
def test_json_that_means_nothing_certain_is_refused(content: bytes, fact: str) -> None:
    """What a parser makes of it anyway would be somebody's choice."""
    with pytest.raises(ValueError, match=fact):
        parse_json(content)


def test_a_byte_order_mark_is_passed_over() -> None:
    """Windows' editors write one."""
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]


def test_json_of_many_small_values_is_refused_before_it_is_parsed() -> None:
    """An empty list takes three bytes in the file and 64 in memory."""
    with at_once(), pytest.raises(ValueError, match=f"{VALUES_LIMIT:,}"):
        parse_json("[" + "[]," * (VALUES_LIMIT // 2) + "1]")


@pytest.mark.parametrize(("text", "fact"), [
    ("x = " + "[" * 100_000, "100 deep"), ("a." * 500_000 + "b = 1", "100 dots"), ("seed = " + "9" * 5000, "digits"),
    ("a = 1\na = 2", "a"), ("#" * (2 << 20), "bytes")])
def test_toml_beyond_its_bounds_is_refused(tmp_path: Path, text: str, fact: str) -> None:
    """By an error and not by a crash."""
    (tmp_path / "x.toml").write_text(text)
    with at_once(), pytest.raises(ValueError, match=fact):
        read_toml(tmp_path / "x.toml")


@pytest.mark.parametrize("value", [0x10 ** 5000, "x" * 10_000, [[1] * 1000]], ids=["number", "text", "list"])
def test_a_value_is_quoted_in_short_whatever_it_is(value: object) -> None:
    """Python writes no number of more than 4,300 digits."""
    assert len(quoted(value)) < 120


def test_an_array_that_is_larger_than_its_file_is_refused(tmp_path: Path) -> None:
    """Its header may say what it likes."""
    import numpy as np

    path = tmp_path / "x.npy"
    np.save(path, np.arange(6, dtype=np.float32).reshape(2, 3))
    np.testing.assert_array_equal(map_array(path), np.arange(6).reshape(2, 3))
    content = path.read_bytes()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 3)})
    path.write_bytes(header.getvalue() + content[128:])
    with pytest.raises(ValueError, match=r"."):
        map_array(path)
    np.save(path, np.zeros((0, 3), np.float32))
    assert map_array(path).shape == (0, 3)


def test_a_writer_that_never_ends_is_not_read(tmp_path: Path) -> None:
    """A pipe with a writer opens at once, and gives for ever."""
    path = tmp_path / "x"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with path.open("wb", buffering=0) as writer, at_once(), pytest.raises(ValueError, match="x"):
            writer.write(json.dumps([1]).encode())
            read_bounded(path, 100)
    finally:
        os.close(reader)
