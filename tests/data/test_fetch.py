"""Fetching MINC-2500: over connections that break, from servers that differ, out of archives that are hostile."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from attacks import at_once
from matlens.cli import main as cli
from matlens.data.source import fetch, minc
from matlens.data.source.download import download
from matlens.data.source.fetch import fetch_minc
from matlens.data.source.kaggle import fetch_from_kaggle
from matlens.data.source.patience import Patience
from matlens.data.source.sources import Source
from matlens.data.source.unpack import Limits
from matlens.errors import DataError, SettingsError, WriteError
from matlens.system.console import Reporter
from matlens.system.ownership import locks
from matlens.system.ownership import places as kaggle

HASTE = Patience(tries=3, pause=0.001, stall=0.2)
PHOTOS = {f"images/{name}/{name}_00000{number}.jpg": os.urandom(3000) for name in ("brick", "wood")
          for number in range(3)}
LISTS = {f"labels/{part}1.txt": "".join(f"images/{name}/{name}_00000{number}.jpg\n" for name in ("brick", "wood"))
         for number, part in enumerate(("train", "validate", "test"))}
FILES = PHOTOS | {path: text.encode() for path, text in LISTS.items()}


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A member of an archive; `fields` are set on its header."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def pack(*further: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A .tar.gz like MINC-2500's, small; `further` members last."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for info, content in [*(member(f"minc-2500/{path}", content) for path, content in FILES.items()), *further]:
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return packed.getvalue()


def sum_of(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@dataclass
class Server:
    """What a server has, how it misbehaves, and what it was asked.

    cuts: bytes until a connection ends, in order. headers: in place of the right ones; "" leaves one out.
    drip: "body" or "headers" comes in small pieces.
    """

    content: bytes
    etag: str = '"1"'
    knows_ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    stalls: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    drip: str = ""
    gate: threading.Event = field(default_factory=threading.Event)
    asked: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """GET."""
        wanted = request.headers["Range"]
        self.asked.append(wanted)
        if self.statuses:
            request.send_response(self.statuses.pop(0))
            self._send(request, "Location", "")
            self._send(request, "Content-Length", "0")
            request.end_headers()
            return
        if self.drip == "headers":
            self._drip(request, b"HTTP/1.0 100 Continue\r\n\r\n" * 50)
        begin = 0
        if wanted and self.knows_ranges and request.headers["If-Range"] == self.etag:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            request.send_response(206)
            self._send(request, "Content-Range", f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}")
        else:
            request.send_response(200)
        self._send(request, "Content-Length", str(len(self.content) - begin))
        request.send_header("ETag", self.etag)
        request.end_headers()
        end = self.cuts.pop(0) if self.cuts else len(self.content)
        if self.drip == "body":
            self._drip(request, self.content[begin:end])
        with suppress(ConnectionError):
            request.wfile.write(b"" if self.drip == "body" else self.content[begin:end])
            request.wfile.flush()
        if self.stalls:
            self.gate.wait(5)

    def _send(self, request: BaseHTTPRequestHandler, name: str, value: str) -> None:
        if value := self.headers.get(name, value):
            request.send_header(name, value.encode().decode("latin-1"))

    def _drip(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        with suppress(ConnectionError):
            for start in range(0, len(content), size := len(content) // 50 + 1):
                request.wfile.write(content[start:start + size])
                request.wfile.flush()
                time.sleep(0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    """On loopback; it has a small archive."""
    has = Server(pack())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            has.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        has.url = f"http://127.0.0.1:{listening.server_address[1]}/static/minc-2500.tar.gz"
        # Stopping waits for the next look whether to stop: half a second by default.
        thread = threading.Thread(target=listening.serve_forever, args=(0.005,))
        thread.start()
        yield has
        has.gate.set()
        listening.shutdown()
        thread.join()


class Heard(Reporter):
    """What was said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str, style: str = "") -> None:
        self.lines.append(text)


def have(to: Path, server: Server, **options: object) -> Source:
    """Fetch the server's archive as it is now."""
    given = {"url": server.url, "sha1": sum_of(server.content), "patience": HASTE} | options
    return fetch_minc(to, given.pop("reporter", Heard()), **given)  # type: ignore[arg-type]


def is_whole(to: Path) -> bool:
    """Whether a folder holds exactly what the archive does."""
    found = {path.relative_to(to).as_posix(): path.read_bytes() for path in to.rglob("*") if path.is_file()}
    return found == FILES


def left_beside(to: Path) -> list[str]:
    return sorted(path.name for path in to.parent.iterdir() if path != to)


def test_it_is_downloaded_checked_and_unpacked(server, tmp_path):
    """Nothing but the dataset is left, and its folder is the one that was named."""
    to = tmp_path / "data" / "minc"
    source = have(to, server)
    assert (source.root, source.layout, len(source.photos), source.split_numbers) == (to, "minc", 6, (1,))
    assert is_whole(to)
    assert left_beside(to) == []
    assert server.asked == [None]


@pytest.mark.parametrize("kept", [True, False])
def test_the_archive_stays_if_wished(server, tmp_path, kept):
    """For a second machine."""
    have(tmp_path / "minc", server, keep_archive=kept)
    assert left_beside(tmp_path / "minc") == ["minc-2500.tar.gz"] * kept


def test_a_cut_connection_is_gone_on_with(server, tmp_path):
    """2 GB from a busy server seldom arrive at once."""
    server.cuts = [5000, 9000]
    have(tmp_path / "minc", server)
    assert is_whole(tmp_path / "minc")
    assert server.asked == [None, "bytes=5000-", "bytes=9000-"]


def test_an_interrupted_command_is_gone_on_with(server, tmp_path):
    """The next day, by another process: what has arrived is on disk."""
    server.cuts = [7000, 7000, 7000]
    with pytest.raises(DataError, match=r"ended after 7,000 of .* \(3 tries\)\. The same command goes on"):
        have(tmp_path / "minc", server)
    assert left_beside(tmp_path / "minc") == ["minc-2500.tar.gz.part", "minc-2500.tar.gz.part.json"]
    have(tmp_path / "minc", server)
    assert is_whole(tmp_path / "minc")
    assert server.asked == [None, *["bytes=7000-"] * 3]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT is heard, though a shell has it ignored for what runs in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_what_has_arrived(server, tmp_path, monkeypatch, capsys):
    """And one line says that the same command goes on."""
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    server.cuts = [7000]
    monkeypatch.setattr("time.sleep", interrupt)
    monkeypatch.setattr("sys.argv", ["matlens", "data", "fetch", "minc-2500", "--to", str(tmp_path / "minc"), "--url",
                                     server.url, "--sha1", sum_of(server.content)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err.endswith(
        "\nstopped by SIGINT: what was finished is kept. The same command makes what is missing.\n")
    monkeypatch.undo()
    have(tmp_path / "minc", server)
    assert server.asked == [None, "bytes=7000-"]
    assert is_whole(tmp_path / "minc")


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    """Two beginnings in one file would only be noticed by the sum, after 2 GB."""
    server.cuts, server.knows_ranges = [5000], False
    have(tmp_path / "minc", server)
    assert is_whole(tmp_path / "minc")
    assert server.asked == [None, "bytes=5000-"]


def test_a_changed_file_begins_anew(server, tmp_path):
    """Halves of two files are none."""
    server.cuts = [5000] * 3
    with pytest.raises(DataError):
        have(tmp_path / "minc", server)
    server.content, server.etag = pack(member("minc-2500/README.txt", b"a new edition")), '"2"'
    have(tmp_path / "minc", server)
    assert server.asked == [None, *["bytes=5000-"] * 3]
    assert (tmp_path / "minc" / "README.txt").read_bytes() == b"a new edition"


def test_without_a_validator_nothing_is_gone_on_with(server, tmp_path):
    """A weak ETag does not promise the same bytes."""
    server.cuts, server.etag = [5000], 'W/"1"'
    have(tmp_path / "minc", server)
    assert server.asked == [None, None]


def test_a_stalled_server_is_given_up(server, tmp_path):
    """Else a night is spent waiting."""
    server.cuts, server.stalls = [5000] * 3, True
    with pytest.raises(DataError, match="the server sends nothing"):
        have(tmp_path / "minc", server, patience=Patience(tries=2, pause=0.001, stall=0.02))
    assert (tmp_path / "minc-2500.tar.gz.part").stat().st_size == 5000


def test_a_busy_server_is_asked_again(server, tmp_path):
    """And one that has no such file is not."""
    server.statuses = [503, 429]
    reporter = Heard()
    have(tmp_path / "minc", server, reporter=reporter)
    assert any("503 Service Unavailable; trying again" in line for line in reporter.lines)
    server.statuses, server.asked = [404], []
    with pytest.raises(DataError, match=r"404 Not Found\..*put it at .*minc-2500\.tar\.gz: the same command.*--url"):
        have(tmp_path / "other" / "minc", server)
    assert server.asked == [None]


def test_without_a_network_the_ways_out_are_named(tmp_path, monkeypatch):
    """On Kaggle the network is off by default."""
    (tmp_path / "input").mkdir()
    monkeypatch.setattr(kaggle, "KAGGLE_ROOT", tmp_path)
    with pytest.raises(DataError) as caught:  # nothing listens on port 9
        fetch_minc(tmp_path / "minc", Heard(), url="http://127.0.0.1:9/minc-2500.tar.gz", patience=HASTE)
    for words in ("Connection refused (3 tries)", minc.ARCHIVE_URL, f"put it at {tmp_path / 'minc-2500.tar.gz'}",
                  "Add Input", "matlens data find"):
        assert words in str(caught.value)


def test_an_archive_put_there_by_hand_is_used_and_left(server, tmp_path):
    """Fetched with a browser on another machine: no network is needed, and nobody's file is removed."""
    (tmp_path / "minc-2500.tar.gz").write_bytes(server.content)
    have(tmp_path / "minc", server)
    assert is_whole(tmp_path / "minc")
    assert server.asked == []
    assert left_beside(tmp_path / "minc") == ["minc-2500.tar.gz"]


def test_a_file_address_is_read_where_it_lies(server, tmp_path):
    """No second copy of 2 GB."""
    archive = tmp_path / "elsewhere" / "my copy.tgz"
    archive.parent.mkdir()
    archive.write_bytes(server.content)
    have(tmp_path / "data" / "minc", server, url=archive.as_uri())
    assert is_whole(tmp_path / "data" / "minc")
    assert archive.exists()
    assert left_beside(tmp_path / "data" / "minc") == []
    with pytest.raises(DataError, match=r"No such file: .*nowhere\.tgz"):
        have(tmp_path / "data" / "other", server, url="file:///nowhere.tgz")


def test_a_wrong_sum_names_both_and_begins_anew(server, tmp_path):
    """A file that was damaged on its way must not be in the way of the next try."""
    right, server.content = server.content, server.content[:-1] + b"x"
    with pytest.raises(DataError) as caught:
        have(tmp_path / "minc", server, sha1=sum_of(right))
    assert sum_of(right) in str(caught.value)
    assert sum_of(server.content) in str(caught.value)
    assert left_beside(tmp_path / "minc") == []
    server.content = right
    have(tmp_path / "minc", server, sha1=sum_of(right).upper())
    assert server.asked == [None, None]


@pytest.mark.parametrize("length", ["", "abc", "-5", "1e3", "9" * 5000, "٣"])
def test_a_length_that_is_none_counts_as_unsaid(server, tmp_path, length):
    """The SHA-1 says whether everything has come."""
    server.headers["Content-Length"] = length
    have(tmp_path / "minc", server)
    assert is_whole(tmp_path / "minc")


@pytest.mark.parametrize(("length", "named"), [(1 << 40, "has more than 16 GB"), (10**7, "The same command goes on")])
def test_a_length_that_is_wrong_is_told(server, tmp_path, length, named):
    """Too long for any archive, or longer than what comes."""
    server.headers["Content-Length"], server.knows_ranges = str(length), False
    with pytest.raises(DataError, match=named):
        have(tmp_path / "minc", server)


@pytest.mark.parametrize("place", [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http://[bad", "http://127.0.0.1:port/", "//", "http:///",
    "gopher://x/", "http://exa mple/", "http://\u00e4\u00f6/", "javascript:1", "x" * 30_000, ""])
def test_a_server_that_leads_elsewhere_is_told_of(server, tmp_path, place):
    """A Location header is a stranger's word: it opens no file, and is no defect of matlens."""
    server.statuses, server.headers["Location"] = [302] * 3, place
    server.statuses += [404] * 20
    with pytest.raises(DataError, match="Cannot download"):
        have(tmp_path / "minc", server)
    assert left_beside(tmp_path / "minc") in ([], ["minc-2500.tar.gz.part", "minc-2500.tar.gz.part.json"])


def test_a_server_that_leads_in_a_circle_is_told_of(server, tmp_path):
    """Ten times is enough."""
    server.statuses, server.headers["Location"] = [302] * 50, server.url
    with pytest.raises(DataError, match="302"):
        have(tmp_path / "minc", server)
    assert len(server.asked) < 20


def test_a_file_without_a_stated_length_is_bounded(server, tmp_path, monkeypatch):
    """Else an endless answer fills the disk."""
    monkeypatch.setattr("matlens.data.source.download.MOST", 5000)
    monkeypatch.setitem(download.__kwdefaults__, "most", 5000)
    server.headers["Content-Length"] = ""
    with pytest.raises(DataError, match="has more than"):
        have(tmp_path / "minc", server)
    assert not (tmp_path / "minc-2500.tar.gz.part").exists()


@pytest.mark.parametrize("where", ["body", "headers"])
def test_a_server_of_a_byte_now_and_then_is_given_up(server, tmp_path, where):
    """At a byte a second, 2 GB take a lifetime, and each byte ends the wait for one."""
    server.drip = where
    with pytest.raises(DataError, match="bytes a second"):
        have(tmp_path / "minc", server,
             patience=Patience(tries=2, pause=0.001, stall=5, slowest=100_000, window=0.1))


def test_a_slow_line_is_waited_for(server, tmp_path):
    """A modem is slow, and alive: what comes is above the least rate."""
    server.drip = "body"
    have(tmp_path / "minc", server, patience=Patience(tries=2, pause=0.001, stall=5, slowest=10, window=0.05))
    assert is_whole(tmp_path / "minc")


@pytest.mark.parametrize("range_", ["bytes 0-9/10", "bytes 5000-1/2", "bytes 5000-9999/" + "9" * 5000, "", "x"])
def test_a_range_that_was_not_asked_for_begins_anew(server, tmp_path, range_):
    """What is appended to the wrong place would be noticed by the sum alone, after 2 GB."""
    server.cuts, server.headers["Content-Range"] = [5000], range_
    have(tmp_path / "minc", server)
    assert is_whole(tmp_path / "minc")
    assert server.asked == [None, "bytes=5000-", None]


@pytest.mark.parametrize("target", ["empty folder", "nothing"])
def test_a_link_stays_a_link_and_leads_to_the_dataset(server, tmp_path, target):
    """The user's disk for large things is elsewhere."""
    (tmp_path / "disk").mkdir()
    if target == "empty folder":
        (tmp_path / "disk" / "minc").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "minc")
    have(tmp_path / "link", server)
    assert (tmp_path / "link").is_symlink()
    assert is_whole(tmp_path / "disk" / "minc")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(DataError, match="circle"):
        have(tmp_path / "circle", server)


def test_what_the_user_puts_there_meanwhile_stays(server, tmp_path, monkeypatch):
    """An hour passes between the first look at a folder and the end of the download."""
    to, unpack = tmp_path / "minc", fetch.unpack

    def while_unpacking(*arguments: object) -> None:
        unpack(*arguments)
        to.mkdir()
        (to / "mine.txt").write_text("mine")

    monkeypatch.setattr(fetch, "unpack", while_unpacking)
    with pytest.raises(DataError, match="--to"):
        have(to, server)
    assert [path.name for path in to.iterdir()] == ["mine.txt"]


def test_a_pipe_in_the_place_of_the_archive_is_not_waited_for(server, tmp_path):
    """It is nobody's archive."""
    os.mkfifo(tmp_path / "minc-2500.tar.gz")
    with at_once(), pytest.raises(DataError, match=r"minc-2500\.tar\.gz"):
        have(tmp_path / "minc", server)


def test_no_wrong_archive_takes_the_place_of_an_earlier_one(server, tmp_path):
    """Each is the user's."""
    for content in (b"first", b"second", b"third"):
        (tmp_path / "minc-2500.tar.gz").write_bytes(content)
        with pytest.raises(DataError, match="set aside"):
            have(tmp_path / "minc", server)
    wrong = sorted(tmp_path.glob("*.wrong*"))
    assert [path.read_bytes() for path in wrong] == [b"first", b"second", b"third"]


def test_a_wrong_archive_of_the_user_is_set_aside(server, tmp_path):
    """It was downloaded with trouble; but the next try must not meet it again."""
    (tmp_path / "minc-2500.tar.gz").write_bytes(b"an error page")
    with pytest.raises(DataError, match=r"set aside as .*minc-2500\.tar\.gz\.wrong"):
        have(tmp_path / "minc", server)
    have(tmp_path / "minc", server)
    assert (tmp_path / "minc-2500.tar.gz.wrong").read_bytes() == b"an error page"


@pytest.mark.parametrize(("options", "named"), [
    ({"url": "ftp://server/minc-2500.tar.gz"}, "http://, https:// or file://"), ({"sha1": "12345"}, "40 hexadecimal")])
def test_impossible_options_are_named(server, tmp_path, options, named):
    """Before anything is asked for."""
    with pytest.raises(SettingsError, match=named):
        have(tmp_path / "minc", server, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_it_is_unpacked_is_told(server, tmp_path, monkeypatch):
    """Another program may take the room; the option that helps is named, and no half dataset stays."""
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "unpack", full)
    with pytest.raises(WriteError, match=rf"{tmp_path}.*--to"):
        have(tmp_path / "minc", server)
    assert not (tmp_path / "minc").exists()


@pytest.mark.parametrize("free", ["downloading", "unpacking"])
def test_a_full_disk_is_seen_first(server, tmp_path, monkeypatch, free):
    """After an hour of downloading is too late."""
    room = {"downloading": len(server.content) * 2, "unpacking": len(server.content)}[free]
    if free == "unpacking":
        (tmp_path / "minc-2500.tar.gz").write_bytes(server.content)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=room))
    with pytest.raises(DataError, match=rf"{tmp_path}.*0\.0 GB.*--to"):
        have(tmp_path / "minc", server)
    assert not (tmp_path / "minc").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(server.content) * 2.2))
    have(tmp_path / "minc", server)


def test_a_whole_copy_is_left_as_it_is(server, tmp_path, monkeypatch):
    """Calling it twice costs nothing; and what else is in the folder is nobody's to remove."""
    monkeypatch.setattr(minc, "deviations", lambda source: [])
    have(tmp_path / "minc", server)
    reporter = Heard()
    assert len(have(tmp_path / "minc", server, reporter=reporter).photos) == 6
    assert reporter.lines == [f"{tmp_path / 'minc'} is there already, and whole"]
    assert server.asked == [None]


def test_what_is_there_is_never_replaced(server, tmp_path):
    """A folder of one's own, a file, a copy that is not whole."""
    mine = tmp_path / "mine" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(DataError, match="No photos found"):
        have(mine.parent, server)
    with pytest.raises(DataError, match="is a file"):
        have(mine, server)
    have(tmp_path / "minc", server)
    with pytest.raises(DataError, match=r"minc is there, but .* There is no class carpet, .*--to"):
        have(tmp_path / "minc", server)
    assert mine.read_text() == "mine"
    assert server.asked == [None]


LINK = {"type": tarfile.SYMTYPE, "linkname": "/etc"}
HOSTILE = {
    "absolute path": (member("/tmp/x.jpg", b"x"), "points out of the folder"),
    "parent": (member("minc-2500/images/../../../x.jpg", b"x"), "points out of the folder"),
    "symbolic link": (member("minc-2500/images/x", **LINK), "is a link"),
    "hard link": (member("minc-2500/x", type=tarfile.LNKTYPE, linkname="minc-2500/labels/train1.txt"), "is a link"),
    "device": (member("minc-2500/x", type=tarfile.CHRTYPE), "a device"),
    "pipe": (member("minc-2500/x", type=tarfile.FIFOTYPE), "a device"),
    "sparse file": (member("minc-2500/x", type=tarfile.REGTYPE, pax_headers={
        "GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000000"}), "sparse file"),
    "duplicate": (member("minc-2500/labels/train1.txt", b"x"), "twice"),
    "duplicate but for case": (member("minc-2500/Labels/TRAIN1.txt", b"x"), "twice"),
    "folder over a file": (member("minc-2500/labels/train1.txt/x", b"x"), "twice"),
    "file over a folder": (member("minc-2500/labels", b"x"), "twice"),
    "control character": (member("minc-2500/a\x1b[2J", b"x"), "no plain name"),
    "backslash": (member("minc-2500/..\\x", b"x"), "no plain name"),
    "undecodable": (member("minc-2500/\udcff", b"x"), "no plain name"),
    "no name": (member(".", b"x"), "no plain name"),
    "deep": (member("minc-2500/" + "a/" * 20 + "x", b"x"), "no plain name"),
    "long header": (member("minc-2500/x", b"x", pax_headers={"comment": "x" * 200_000}), "a header"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives_are_refused(server, tmp_path, what):
    """Somebody else's mirror, with somebody else's sum: nothing of it stays, and nothing outside is touched."""
    hostile, reason = HOSTILE[what]
    if what == "undecodable":
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz", format=tarfile.GNU_FORMAT) as tar:
            tar.addfile(hostile[0], io.BytesIO(hostile[1]))
        server.content = packed.getvalue()
    else:
        server.content = pack(hostile)
    with pytest.raises(DataError, match=rf"is refused: .*{reason}"):
        have(tmp_path / "minc", server)
    assert left_beside(tmp_path / "minc") == ["minc-2500.tar.gz", "minc-2500.tar.gz.part.json"]
    assert not (tmp_path / "minc").exists()


@pytest.mark.parametrize(("limits", "reason"), [
    (Limits(members=8), "more than 8 files"), (Limits(size=25_000), "more than 2.5e-05 GB")])
def test_limits_hold(server, tmp_path, limits, reason):
    """Nine files of 18 kB, and what tar adds to them."""
    with pytest.raises(DataError, match=reason):
        have(tmp_path / "minc", server, limits=limits)
    assert not (tmp_path / "minc").exists()
    have(tmp_path / "other", server, limits=Limits(members=9, size=100_000))


def test_a_bomb_is_stopped_while_it_is_read(server, tmp_path):
    """A thousandth of its size on the way, and what it holds is not even in a member."""
    server.content = gzip.compress(gzip.decompress(server.content) + bytes(10_000_000))
    with pytest.raises(DataError, match=r"more than 0\.001 GB"):
        have(tmp_path / "minc", server, limits=Limits(size=1_000_000))


@pytest.mark.parametrize("damage", ["cut", "no gzip", "no tar", "a header", "empty"])
def test_damaged_archives_are_named(server, tmp_path, damage):
    """An archive that ends early must not pass for a small dataset."""
    whole = gzip.decompress(server.content)
    broken = bytearray(whole)
    broken[512 + 3072 + 10] ^= 0xff  # in the name of the second member: its header's sum does not hold
    server.content = {"cut": server.content[:-2000], "no gzip": b"<html>moved</html>", "empty": b"",
                      "no tar": gzip.compress(b"text" * 1000), "a header": gzip.compress(bytes(broken))}[damage]
    with pytest.raises(DataError, match=r"minc-2500\.tar\.gz is (not a whole|refused)"):
        have(tmp_path / "minc", server)
    assert not (tmp_path / "minc").exists()


def test_an_archive_of_something_else_is_not_unpacked(server, tmp_path):
    """What is no dataset would be found and refused later, at the start of each run."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info, content = member("linux/README", b"text")
        tar.addfile(info, io.BytesIO(content))
    server.content = packed.getvalue()
    with pytest.raises(DataError, match="No photos found"):
        have(tmp_path / "minc", server)
    assert not (tmp_path / "minc").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from matlens.system.console import Reporter
from matlens.data.source import fetch
from matlens.data.source import unpack
write, done = unpack._write, []
def write_and_die(*arguments):
    write(*arguments)
    done.append(arguments)
    if len(done) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
unpack._write = write_and_die
fetch.fetch_minc(Path(sys.argv[1]), Reporter(), url=sys.argv[2], sha1=sys.argv[3])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the platform kills otherwise")
def test_a_killed_unpacking_leaves_no_dataset(server, tmp_path):
    """Out of memory, or a notebook that was stopped: the next call finds neither half a dataset nor a lock."""
    to = tmp_path / "minc"
    died = subprocess.run([sys.executable, "-c", KILLED, str(to), server.url, sum_of(server.content)], check=False,
                          capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    left = [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]
    assert len(left) == 1
    assert not to.exists()
    have(to, server)
    assert is_whole(to)
    assert not left[0].exists()
    assert server.asked == [None]


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["_check", "_unpack", "_forget_archive"])
def test_a_killed_fetch_leaves_no_archive_to_the_next(server, tmp_path, monkeypatch, step):
    """Whatever step it ended at; what it downloaded itself, nobody misses. It is not downloaded twice."""
    monkeypatch.setattr(fetch, step, killed)
    with pytest.raises(KeyboardInterrupt):
        have(tmp_path / "minc", server)
    monkeypatch.undo()
    assert "minc-2500.tar.gz" in left_beside(tmp_path / "minc")
    monkeypatch.setattr(minc, "deviations", lambda _: [])  # the dataset that is there counts as published
    have(tmp_path / "minc", server)
    assert is_whole(tmp_path / "minc")
    assert (left_beside(tmp_path / "minc"), server.asked) == ([], [None])


def test_an_archive_that_took_the_place_of_a_downloaded_one_stays(server, tmp_path, monkeypatch):
    """The user may have fetched it in a browser meanwhile: it is another file, with the same content."""
    monkeypatch.setattr(fetch, "_unpack", killed)
    with pytest.raises(KeyboardInterrupt):
        have(tmp_path / "minc", server)
    monkeypatch.undo()
    (tmp_path / "mine").write_bytes(server.content)
    (tmp_path / "mine").rename(tmp_path / "minc-2500.tar.gz")
    have(tmp_path / "minc", server)
    assert left_beside(tmp_path / "minc") == ["minc-2500.tar.gz"]


def test_a_fetch_that_was_killed_before_the_archive_had_its_name_goes_on(server, tmp_path, monkeypatch):
    """All bytes are there, and are noted as whole."""
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: (killed if path.suffix == ".part" else replace)(
        path, target))
    with pytest.raises(KeyboardInterrupt):
        have(tmp_path / "minc", server)
    monkeypatch.undo()
    have(tmp_path / "minc", server)
    assert (left_beside(tmp_path / "minc"), server.asked) == ([], [None])


def test_of_two_fetches_the_second_waits(server, tmp_path, monkeypatch):
    """Two notebooks started together must not write into one another's file."""
    monkeypatch.setattr(locks, "PATIENCE", 0.01)
    monkeypatch.setattr(minc, "deviations", lambda source: [])
    server.stalls, server.cuts, waits, got = True, [5000], threading.Event(), []

    class Waiting(Heard):
        def say(self, text: str, style: str = "") -> None:
            super().say(text)
            if "waiting for it" in text:
                waits.set()

    def fetch_one() -> None:
        got.append(have(tmp_path / "minc", server, reporter=reporters.pop(), patience=Patience(pause=0.001, stall=5)))

    reporters: list[Heard] = [Waiting(), Waiting()]
    threads = [threading.Thread(target=fetch_one) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waits.wait(5)
    server.gate.set()
    for thread in threads:
        thread.join()
    assert len(got) == 2
    assert server.asked == [None, "bytes=5000-"]
    assert is_whole(tmp_path / "minc")


def test_on_kaggle_it_goes_where_it_is_no_output(tmp_path, monkeypatch):
    """57,500 files in /kaggle/working would be saved with the notebook; the input folder is read-only."""
    monkeypatch.delenv("MATLENS_CONFIG", raising=False)
    monkeypatch.setattr(kaggle, "KAGGLE_ROOT", tmp_path)
    assert fetch.default_place() == Path("data/minc-2500")
    (tmp_path / "input").mkdir()
    assert fetch.default_place() == tmp_path / "tmp" / "minc-2500"


@pytest.fixture
def kagglehub(monkeypatch) -> ModuleType:
    """A stand-in for kagglehub, with its exceptions."""
    hub, exceptions = ModuleType("kagglehub"), ModuleType("kagglehub.exceptions")
    for name in ("UnauthenticatedError", "CredentialError", "BackendError", "NotFoundError", "DataCorruptionError",
                 "KaggleEnvironmentError"):
        setattr(exceptions, name, type(name, (Exception,), {}))
    hub.exceptions = exceptions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    monkeypatch.setitem(sys.modules, "kagglehub.exceptions", exceptions)
    return hub


def test_a_dataset_comes_from_kaggle(kagglehub, tmp_path):
    """Wherever kagglehub keeps it, and however deep."""
    for path, content in FILES.items():
        file = tmp_path / "versions" / "3" / "archive" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    asked = []

    def dataset_download(handle: str, *, output_dir: str | None = None) -> str:
        asked.append((handle, output_dir))
        return str(tmp_path / "versions" / "3")

    kagglehub.dataset_download = dataset_download
    assert [source.root for source in fetch_from_kaggle("me/copy", None)] == [tmp_path / "versions" / "3" / "archive"]
    fetch_from_kaggle("me/copy", tmp_path / "here")
    assert asked == [("me/copy", None), ("me/copy", str(tmp_path / "here"))]
    shutil.rmtree(tmp_path / "versions" / "3" / "archive")
    with pytest.raises(DataError, match="neither as class folders nor"):
        fetch_from_kaggle("me/copy", None)


def http_error(status: int) -> OSError:
    error = OSError(f"{status} Client Error.\n\nhttps://long/address")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(("raised", "named"), [
    ("UnauthenticatedError", r"wants to know who asks .*KAGGLE_API_TOKEN"),
    ("DataCorruptionError", r"Cannot download .*broken.*matlens data find"),
    (http_error(404), "no dataset https://www.kaggle.com/datasets/me/copy"),
    (http_error(403), r"does not let you have .*answers 403.*KAGGLE_API_TOKEN"),
    (ConnectionError("no route"), r"Cannot download .*: no route\. Try again"),
])
def test_kaggle_refusing_is_one_message(kagglehub, raised, named):
    """Not forty lines of somebody else's."""
    def dataset_download(_: str) -> str:
        raise getattr(kagglehub.exceptions, raised)("broken") if isinstance(raised, str) else raised

    kagglehub.dataset_download = dataset_download
    with pytest.raises(DataError, match=named):
        fetch_from_kaggle("me/copy", None)
    with pytest.raises(SettingsError, match="Leave --to away"):
        fetch_from_kaggle("me/copy", Path("here"))


def test_without_kagglehub_the_extra_is_named(monkeypatch):
    """It is optional."""
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(SettingsError, match=r"pip install 'matlens\[kaggle\]'"):
        fetch_from_kaggle("me/copy", None)


@pytest.mark.parametrize(("arguments", "code", "named"), [
    (("minc",), 2, "give minc-2500, or owner/slug"),
    (("me/copy", "--sha1", "0" * 40), 2, "me/copy comes from Kaggle"),
])
def test_the_command_names_what_it_takes(monkeypatch, capsys, arguments, code, named):
    """A slip in a name must not become an address."""
    monkeypatch.setattr("sys.argv", ["matlens", "data", "fetch", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == code
    assert named in capsys.readouterr().err


def test_the_command_says_in_what_the_dataset_differs(server, tmp_path, monkeypatch, capsys):
    """A mirror may have left photos out."""
    monkeypatch.setattr(minc, "CLASS_NAMES", ("brick", "wood"))
    monkeypatch.setattr("sys.argv", ["matlens", "data", "fetch", "minc-2500", "--to", str(tmp_path / "minc"), "--url",
                                     server.url, "--sha1", sum_of(server.content), "--quiet"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert not stopped.value.code
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == [
        f"{tmp_path / 'minc'}: minc, 2 classes, 6 photos, official splits 1; MINC-2500, not whole",
        "  Of each class there should be 2,500 photos: brick has 3, wood has 3."]
