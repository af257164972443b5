"""Decisions on labels in their file: nothing is lost, nothing is changed, and what is damaged is named or ignored."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builders import digest_of
from matlens.errors import DataError, SettingsError, WriteError
from matlens.jobs.labelling.decisions_file import DecisionsFile
from matlens.runs.ownership import OWN_NAMES
from matlens.settings.corrections.decisions import HEADER, Decision, DecisionLog
from matlens.settings.corrections.setting import corrections_of, read_corrections, write_corrections
from matlens.settings.schema import Settings
from matlens.system.files import as_cell, of_cell

ONE, TWO = digest_of("one"), digest_of("two")
NAMES = ["plain.jpg", "a,b/\"c\".jpg", "=cmd|' /C calc'!A0.jpg", "+1.jpg", "-x.jpg", "@sum.jpg", "'quoted.jpg",
         "caf\udce9.jpg", "Holz ä/日本.jpg", "\ttab.jpg", " blank .jpg", "#hash.jpg"]


def taken(action: str, to: str = "", path: str = "a/1.jpg", digest: str = ONE, given: str = "a") -> Decision:
    return Decision("2026-01-01T00:00:00Z", path, digest, given, to, action)  # type: ignore[arg-type]


def log_of(*decisions: Decision) -> DecisionLog:
    return DecisionLog.parse(HEADER + b"".join(decision.line() for decision in decisions))


@pytest.mark.parametrize("name", NAMES)
def test_a_decision_is_read_as_it_was_written_and_is_no_formula(tmp_path: Path, name: str) -> None:
    decision = taken("relabel", "=b", f"a/{name}" if name.startswith(" ") else name)
    file = DecisionsFile(tmp_path / "c.csv")
    assert file.add(lambda log: decision).decisions == (decision,)
    with file.path.open(encoding="utf-8", errors="surrogateescape", newline="") as table:
        cells = list(csv.reader(table))[1]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


@pytest.mark.parametrize("text", ["", "'", "''=", "=1", "a'=", "-"])
def test_a_cell_gives_its_text_back(text: str) -> None:
    assert of_cell(as_cell(text)) == text


def test_a_name_with_a_line_break_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """One such line would make two of it."""
    with pytest.raises(ValueError, match="line break"):
        DecisionsFile(tmp_path / "c.csv").add(lambda log: taken("keep", "a", "a\nb.jpg"))
    assert not (tmp_path / "c.csv").exists() or not DecisionsFile(tmp_path / "c.csv").read().decisions


@pytest.mark.parametrize(("decisions", "corrections"), [
    ([], {}), ([taken("keep", "a")], {}), ([taken("relabel", "b")], {"a/1.jpg": (ONE, "a", "b")}),
    ([taken("leave_out")], {"a/1.jpg": (ONE, "a", "")}),
    ([taken("relabel", "b"), taken("undo", "a")], {}),
    ([taken("relabel", "b"), taken("relabel", "c"), taken("undo", "b")], {"a/1.jpg": (ONE, "a", "b")}),
    ([taken("undo", "a"), taken("undo", "a"), taken("relabel", "b")], {"a/1.jpg": (ONE, "a", "b")}),
    ([taken("leave_out"), taken("keep", "a")], {}),
    ([taken("relabel", "b"), taken("relabel", "c", digest=TWO)], {"a/1.jpg": (TWO, "a", "c")}),
    ([taken("relabel", "b", "z/1.jpg"), taken("leave_out")], {"a/1.jpg": (ONE, "a", ""), "z/1.jpg": (ONE, "a", "b")})])
def test_what_decisions_come_to(decisions: list[Decision], corrections: dict) -> None:
    assert corrections_of(log_of(*decisions)) == corrections


def test_a_line_is_added_to_what_is_there_and_nothing_is_rewritten(tmp_path: Path) -> None:
    file = DecisionsFile(tmp_path / "new" / "c.csv")
    before = b""
    for decision in (taken("relabel", "b"), taken("undo", "a"), taken("leave_out", path="b/2.jpg")):
        file.add(lambda log, decision=decision: decision)
        content = file.path.read_bytes()
        assert content.startswith(before) and len(content) > len(before)
        before = content
    assert [decision.action for decision in file.read().decisions] == ["relabel", "undo", "leave_out"]
    assert [each.name for each in file.path.parent.iterdir()] == ["c.csv"], "no lock is left"


def test_a_line_torn_anywhere_is_ignored_and_the_next_decision_follows_whole_ones(tmp_path: Path) -> None:
    """A process that is killed while it writes leaves any part of a line."""
    whole, second = HEADER + taken("keep", "a").line(), taken("relabel", "b, c", "ü/2.jpg")
    for cut in range(1, len(second.line()) - 1):
        content = whole + second.line()[:cut]
        log = DecisionLog.parse(content)
        assert (len(log.decisions), log.torn) == (1, second.line()[:cut])
        file = DecisionsFile(tmp_path / f"{cut}.csv")
        file.path.write_bytes(content)
        assert [decision.to for decision in file.add(lambda log: taken("relabel", "d")).decisions] == ["a", "d"]
    for cut in range(len(HEADER)):
        file = DecisionsFile(tmp_path / f"head{cut}.csv")
        file.path.write_bytes(HEADER[:cut])
        assert len(file.add(lambda log: taken("keep", "a")).decisions) == 1


def test_a_whole_last_line_without_its_end_counts_as_an_editor_leaves_it(tmp_path: Path) -> None:
    file = DecisionsFile(tmp_path / "c.csv")
    file.path.write_bytes((HEADER + taken("relabel", "b").line()).rstrip(b"\n"))
    assert len(file.read().decisions) == 1
    assert len(file.add(lambda log: taken("leave_out")).decisions) == 2


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + (HEADER + taken("relabel", "b").line()).replace(b"\n", b"\r\n")
    assert corrections_of(DecisionLog.parse(content)) == {"a/1.jpg": (ONE, "a", "b")}
    quoted = b"".join(b'"' + line.replace(b",", b'","') + b'"\r\n' for line in content.splitlines())
    assert DecisionLog.parse(quoted.replace(b'"\xef\xbb\xbf', b'\xef\xbb\xbf"')).decisions == (taken("relabel", "b"),)


def test_a_table_of_which_only_the_head_is_left_holds_no_decision_and_takes_the_next(tmp_path: Path) -> None:
    file = DecisionsFile(tmp_path / "c.csv")
    file.path.write_bytes(b"\xef\xbb\xbf" + HEADER.rstrip())
    assert file.read().decisions == ()
    assert file.add(lambda log: taken("relabel", "b")).decisions == (taken("relabel", "b"),)


GOOD = taken("relabel", "b").line().decode()


@pytest.mark.parametrize(("line", "named"), [
    (GOOD.replace("relabel", "delete"), "line 3.*delete"),
    (GOOD.replace("a/1.jpg", "../../etc/passwd"), "line 3.*passwd"),
    (GOOD.replace("a/1.jpg", "/etc/passwd"), "line 3.*passwd"), (GOOD.replace(ONE, "0" * 63), "line 3.*SHA-256"),
    (GOOD.replace(ONE, ONE.upper()), "line 3"), (GOOD.replace(",b,relabel", ",,relabel"), "line 3"),
    (GOOD.replace(",b,relabel", ",b,leave_out"), "line 3"), ("a,b\n", "line 3.*2 cells"), ('"\n', "line 3"),
    (GOOD.replace("a/1.jpg", "x" * 9000), "line 3"), ("\0\n", "line 3"), (GOOD.replace(",a,b,", ",,b,"), "line 3")])
def test_a_line_that_states_no_decision_is_named(tmp_path: Path, line: str, named: str) -> None:
    """Also in the middle: what people decided there would be lost silently."""
    (tmp_path / "c.csv").write_text(HEADER.decode() + GOOD + line + GOOD)
    with pytest.raises(SettingsError, match=rf"(?s)c\.csv.*{named}"):
        read_corrections(str(tmp_path / "c.csv"))
    with pytest.raises(DataError, match=rf"(?s)c\.csv.*{named}"):
        DecisionsFile(tmp_path / "c.csv").add(lambda log: taken("keep", "a"))


@pytest.mark.parametrize("content", [b"path,label\na,b\n", b"\x89PNG\r\n\x1a\n", b"time;path;sha256;from;to;action\n",
                                     "time,path".encode("utf-16")])
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.csv").write_bytes(content)
    with pytest.raises(SettingsError, match=r"c\.csv"):
        read_corrections(str(tmp_path / "c.csv"))
    with pytest.raises(DataError):
        DecisionsFile(tmp_path / "c.csv").add(lambda log: taken("keep", "a"))
    assert (tmp_path / "c.csv").read_bytes() == content


def test_a_missing_file_a_pipe_and_a_link_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.csv"):
        read_corrections(str(tmp_path / "none.csv"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="pipe"):
        read_corrections(str(tmp_path / "pipe"))
    (tmp_path / "real.csv").write_bytes(HEADER)
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    with pytest.raises(WriteError, match=r"link\.csv"):
        DecisionsFile(tmp_path / "link.csv").add(lambda log: taken("keep", "a"))
    assert (tmp_path / "real.csv").read_bytes() == HEADER


_ADD = """
import sys
from pathlib import Path
from matlens.jobs.labelling.decisions_file import DecisionsFile
from matlens.settings.corrections.decisions import Decision
file = DecisionsFile(Path(sys.argv[1]))
for n in range(25):
    file.add(lambda log: Decision("t", f"{sys.argv[2]}/{n}.jpg", "0" * 64, "a", "b", "relabel"))
"""


def test_processes_and_threads_that_decide_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_bytes(HEADER + taken("keep", "a").line() + b"2026,torn")
    processes = [subprocess.Popen([sys.executable, "-c", _ADD, str(path), name]) for name in ("p", "q")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: DecisionsFile(path).add(lambda log: taken("leave_out", path=f"t/{n}.jpg")), range(20)))
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    log = DecisionsFile(path).read()
    assert (len(log.decisions), log.torn) == (1 + 2 * 25 + 20, b"")


def test_the_setting_holds_what_the_file_comes_to_and_writes_it_back(tmp_path: Path) -> None:
    file = DecisionsFile(tmp_path / "c.csv")
    for decision in (taken("relabel", "b", "=x/1.jpg"), taken("leave_out"), taken("keep", "a", "k/1.jpg")):
        file.add(lambda log, decision=decision: decision)
    corrections = read_corrections(str(file.path))
    settings = Settings.load(options={"corrections": corrections})
    assert settings.corrections == {"=x/1.jpg": (ONE, "a", "b"), "a/1.jpg": (ONE, "a", "")}
    write_corrections(settings.corrections, tmp_path)
    assert read_corrections(str(tmp_path / "applied_corrections.csv")) == settings.corrections
    assert {"applied_corrections.csv", "corrections.csv"} <= OWN_NAMES


@pytest.mark.parametrize("value", ["c.csv", {"a": "b"}, {"../a.jpg": [ONE, "a", "b"]}, {"a.jpg": ["0", "a", "b"]},
                                   {"a.jpg": [ONE, "a", "a"]}, {"a.jpg": [ONE, "", "b"]}, {"a.jpg": [ONE, "a", 1]},
                                   [1]])
def test_a_recorded_setting_that_is_no_table_of_corrections_is_refused(value: object) -> None:
    """A name of a file, too: a recorded run must not decide which files are opened."""
    with pytest.raises(SettingsError, match="corrections"):
        Settings.load(options={"corrections": value})
