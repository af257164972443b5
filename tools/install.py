"""Set up matlens' environment and say what is going on: `python tools/install.py .venv requirements/light.txt`.

It makes a virtual environment, or takes the one that is there, and installs a file of pinned requirements and this
project into it, with `uv` where that is on the PATH and with pip elsewhere. pip's own output, hundreds of lines, is
shown as one line for each large file and a count; its last lines are shown where it fails.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]

LARGE = 20.0
"""MB from which a file is worth a line of its own."""

_FILE = re.compile(r"^\s*(Downloading|Using cached) (?P<name>\S+?)-\d\S* \((?P<size>[\d.]+) (?P<unit>kB|MB|GB)\)")
_LOCAL = re.compile(r"^\s*Processing (?P<path>\S+/(?P<name>[^\s/]+?)-\d\S*\.whl)")
_INSTALLING = re.compile(r"^Installing collected packages: (?P<names>.+)")
_IN_MB = {"kB": 1e-3, "MB": 1.0, "GB": 1e3}
_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

_LAST_WORDS = 30
"""Lines of pip's that are shown where it fails."""


class Lines:
    """One line that changes in place on a terminal; elsewhere a line every ten seconds."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._columns = shutil.get_terminal_size().columns - 1
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        print(f"\r\033[K{text}" if self._live else text, flush=True)

    def update(self, text: str) -> None:
        """Show what is being done now."""
        if self._live:
            print(f"\r\033[K{text[:self._columns]}", end="", flush=True)
        elif time.monotonic() - self._last >= _EVERY:
            self._last = time.monotonic()
            print(text, flush=True)


def with_uv(uv: str, python: Path, requirements: Path) -> int:
    """Install with uv, which shows its own progress. Returns its exit status."""
    return subprocess.run([uv, "pip", "install", "--python", str(python), "--requirement", str(requirements)],
                          check=False).returncode


def with_pip(python: Path, requirements: Path, lines: Lines) -> int:
    """Install with pip. Returns its exit status; where that is not 0, its last lines were printed."""
    command = [str(python), "-m", "pip", "install", "--progress-bar", "off", "--no-compile",
               "--disable-pip-version-check", "--requirement", str(requirements)]
    heard: collections.deque[str] = collections.deque(maxlen=_LAST_WORDS)
    files, megabytes = 0, 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          env={**os.environ, "PYTHONUNBUFFERED": "1"}) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            heard.append(line)
            match = _FILE.match(line) or _LOCAL.match(line)
            if match and ".metadata (" not in line:
                size = _size(match)
                files, megabytes = files + 1, megabytes + size
                if size >= LARGE:
                    lines.say(f"  {match['name'].replace('_', '-'):<32} {size:6.0f} MB")
                lines.update(f"  fetched {files} packages, {megabytes / 1e3:.2f} GB")
            elif names := _INSTALLING.match(line):
                lines.say(f"  {files} packages fetched, {megabytes / 1e3:.2f} GB; unpacking them")
                _watch(pip, python, names["names"].count(",") + 1, lines)
    if pip.returncode:
        lines.say("pip failed. Its last lines:")
        print("".join(heard), end="", flush=True)
    return pip.returncode


def _size(file: re.Match[str]) -> float:
    """Return the MB of a file that pip names: by its own words, or of one that lies on this machine."""
    if file.re is _FILE:
        return float(file["size"]) * _IN_MB[file["unit"]]
    path = Path(file["path"])
    return path.stat().st_size / 1e6 if path.is_file() else 0.0


def _watch(pip: subprocess.Popen[str], python: Path, total: int, lines: Lines) -> None:
    """Count the packages that have arrived until pip ends, or says something more."""
    place = _site_packages(python)
    before = len(list(place.glob("*.dist-info")))
    while pip.poll() is None:
        done = min(len(list(place.glob("*.dist-info"))) - before, total)
        lines.update(f"  unpacked {done} of {total} packages")
        if done >= total:
            return
        time.sleep(0.5)


def _site_packages(python: Path) -> Path:
    """Return the folder of an environment's packages."""
    said = subprocess.run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                          capture_output=True, text=True, check=True)
    return Path(said.stdout.strip())


def compile_all(python: Path) -> None:
    """Compile all packages, on all cores.

    Otherwise the first start does it, or each start where PYTHONDONTWRITEBYTECODE is set: `matlens --version` takes
    three times as long then. Some packages bring files for other versions of Python, which do not compile.
    """
    subprocess.run([str(python), "-m", "compileall", "-q", "-j", "0", str(_site_packages(python))], check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def size_of(folder: Path) -> float:
    """Return the size of all files in a folder, in GB."""
    return sum(entry.stat().st_blocks * 512 for entry in folder.rglob("*") if not entry.is_symlink()) / 1e9


def wrong_python(pyproject: str, version: tuple[int, int]) -> str:
    """Say why the project does not take a version of Python, and the way out; empty where it does."""
    match = re.search(r'requires-python = ">=(\d+)\.(\d+),<(\d+)\.(\d+)"', pyproject)
    assert match is not None
    first, after = (int(match[1]), int(match[2])), (int(match[3]), int(match[4]))
    if first <= version < after:
        return ""
    wanted = f"{first[0]}.{first[1]}"
    return (f"matlens needs Python {wanted} or later, before {after[0]}.{after[1]}; this is {version[0]}.{version[1]}. "
            f"Name another one: make demo PYTHON=python{wanted}")


def main() -> int:
    """Set the environment up. Returns 0, or the exit status of what failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("venv", type=Path, help="the folder of the virtual environment")
    parser.add_argument("requirements", type=Path, help="a file of pinned requirements")
    asked = parser.parse_args()
    lines, started = Lines(), time.monotonic()
    if problem := wrong_python((PROJECT / "pyproject.toml").read_text(encoding="utf-8"), sys.version_info[:2]):
        lines.say(problem)
        return 2
    python = asked.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        lines.say(f"Making a virtual environment in {asked.venv}")
        subprocess.run([sys.executable, "-m", "venv", str(asked.venv)], check=True)
    failed, uv = 1, shutil.which("uv")
    if uv:
        lines.say(f"Installing {asked.requirements} with uv")
        failed = with_uv(uv, python, asked.requirements)
    if failed:
        lines.say(f"Installing {asked.requirements} with pip{', since uv failed' if uv else ''}")
        failed = with_pip(python, asked.requirements, lines)
    failed = failed or subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-compile",
         "--disable-pip-version-check", "--editable", str(PROJECT)], check=False).returncode
    if not failed:
        lines.say("Compiling it, once")
        compile_all(python)
        lines.say(f"{asked.venv} is ready: {size_of(asked.venv):.1f} GB, {time.monotonic() - started:.0f} s")
    return failed


if __name__ == "__main__":
    sys.exit(main())
