"""The provenance of a result besides photos and settings: versions, hardware, and the state of the package's code."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from matlens.models.frameworks import FRAMEWORKS
from matlens.system.devices import usable_cores

_PACKAGES = ("matlens", "numpy", "pillow", "simplejpeg", "opencv-python-headless", "scipy", "openvino")
_OF_FRAMEWORKS = (*(name for framework in FRAMEWORKS.values() for name in framework.distributions), "h5py")

LIBRARIES_THAT_COUNT = (*_PACKAGES, *_OF_FRAMEWORKS)
"""The packages whose versions decide the last digits of results."""

_VARIABLES = ("KERAS_BACKEND", "OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS",
              "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED")
"""The environment variables that decide in which order numbers are added up."""


def provenance() -> dict[str, Any]:
    """Return versions, frameworks, hardware, git and environment, as run.json records them. Loads no framework."""
    return {"versions": package_versions(), "frameworks": installed_versions(_OF_FRAMEWORKS), "hardware": hardware(),
            "git": git_state(), "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ}}


def package_versions() -> dict[str, str]:
    """Return the versions of Python, the system, and the framework-free packages that results depend on."""
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}",
            **installed_versions(_PACKAGES)}


def installed_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed, by name. Imports none of them."""
    versions = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


@cache
def hardware() -> dict[str, Any]:
    """Return the processor's name, the usable cores, memory in bytes, and the names of NVIDIA GPUs.

    A value is None where the system does not tell.
    """
    return {"processor": _processor(), "cores": usable_cores(), "memory_bytes": _memory(), "gpus": _gpus()}


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # another system than Linux
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def _gpus() -> list[str]:
    try:
        listing = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True,
                                 text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip()]


@cache
def git_state() -> dict[str, Any] | None:
    """Return the commit of the package's code, and whether the code was changed since; None for a release.

    It is read from the checkout in which the code lies, else from pip's note of the checkout that it installed from.
    """
    code = Path(__file__).parents[1]
    try:
        def git(*words: str) -> str:
            return subprocess.run(["git", "-C", str(code), *words], capture_output=True, text=True, timeout=10,
                                  check=True).stdout.strip()

        # A package may be installed inside of another project's checkout, which does not track its files.
        if git("ls-files", "--error-unmatch", "runs/provenance.py"):
            return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        pass
    return _noted_by_pip()


def _noted_by_pip() -> dict[str, Any] | None:
    try:
        noted = distribution("matlens").read_text("direct_url.json")
        commit = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id")
    except (PackageNotFoundError, ValueError):
        return None
    return {"commit": commit, "changed": False} if commit else None
