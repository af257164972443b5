"""Find ImageNet weights: in a folder that the user names, in the frameworks' own caches, in an installed package, or on
the network."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from matlens.errors import WeightsError
from matlens.models.frameworks import Framework, home_folder
from matlens.models.spec import ModelSpec, Options, WeightsFile
from matlens.system.registry import folders_near

WeightsChoice = Literal["imagenet", "none", "auto"]


@dataclass(frozen=True)
class FoundWeights:
    """The weights that a model starts from.

    path: a file of ImageNet weights, or None for random weights.
    remark: what a reader of its results must know, or "".
    """

    path: Path | None
    remark: str = ""


def search_folders(framework: Framework, weights_dir: Path | None) -> Iterator[Path]:
    """Yield the folders that are searched for a model's weights, in order: the user's, then its framework's own."""
    if weights_dir is not None:
        yield from (weights_dir, weights_dir / "models", weights_dir / "hub" / "checkpoints")
    yield framework.weights_folder()


def find_local(spec: ModelSpec, weights_dir: Path | None, options: Options, side: int) -> Path | None:
    """Return the best file of this model's ImageNet weights that lies on this machine; None where there is none.

    Raises WeightsError where the user's folder is not there.
    """
    return first_local(spec.weights_files(options, side), spec.of_framework, weights_dir)


def first_local(files: Iterable[WeightsFile], framework: Framework, weights_dir: Path | None) -> Path | None:
    """Return the first of some files that lies on this machine; None where none does.

    Raises WeightsError where the user's folder is not there: what was meant to come from it must not come from another.
    """
    if weights_dir is not None and not weights_dir.is_dir():
        raise WeightsError(f"--weights-dir {weights_dir}: there is no such folder.{folders_near(weights_dir)} Name the "
                           "folder that holds the weights, or leave --weights-dir out.")
    for file in files:
        for folder in search_folders(framework, weights_dir):
            if (folder / file.name).is_file():
                return folder / file.name
        if (copy := _from_hub(file, weights_dir) or _from_package(file)) is not None:
            return copy
    return None


def _from_hub(file: WeightsFile, weights_dir: Path | None) -> Path | None:
    """Return the newest copy of a file in a cache of the Hugging Face hub: the user's folder, or that library's own."""
    if not file.hub:
        return None
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or home_folder() / ".cache")
                / "huggingface")
    own = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    folders = [own] if weights_dir is None else [weights_dir, weights_dir / "hub", own]
    wanted = f"models--{file.hub.replace('/', '--')}/snapshots/*/{Path(file.url).name}"
    copies = [path for folder in folders for path in folder.glob(wanted) if path.is_file()]
    return max(copies, key=lambda path: path.stat().st_mtime, default=None)


def _from_package(file: WeightsFile) -> Path | None:
    """Return a file that an installed Python package brings along. This does not import the package."""
    package, _, inside = file.package.partition("/")
    found = importlib.util.find_spec(package) if package else None
    copies = [Path(place, inside, file.name) for place in (found and found.submodule_search_locations) or ()]
    return next((path for path in copies if path.is_file()), None)


def find_weights(spec: ModelSpec, choice: WeightsChoice, weights_dir: Path | None = None, *,
                 options: Options = MappingProxyType({}), side: int = 224) -> FoundWeights:
    """Find what a model starts from: a file on this machine, a download, or random weights.

    Raises:
        WeightsError: `choice` is "imagenet", and the file is neither on this machine nor can it be downloaded; or the
            user's folder is not there.
        ModelError: the model has no such option.
    """
    if spec.weights is None:
        return FoundWeights(None)
    if choice == "none":
        return FoundWeights(None, "trained from random weights (--weights none)")
    local = find_local(spec, weights_dir, options, side)
    if local is not None:
        return FoundWeights(local)
    wanted = next(iter(spec.weights_files(options, side)), None)
    if wanted is None:
        chosen = ", ".join(f"{name}={value}" for name, value in spec.all_options(options).items())
        if choice == "auto":
            return FoundWeights(None, f"trained from random weights: none are published for {chosen}")
        raise WeightsError(f"There are no published weights of {spec.name} for {chosen}. Leave --option out, or train "
                           "from random weights with --weights none (in Python: weights=None).")
    try:
        return FoundWeights(_download(wanted, spec.of_framework.weights_folder()))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors, pooch's hash mismatch a ValueError
        status = getattr(getattr(error, "response", None), "status_code", None)
        accepted = f"to those who accept their licence at https://huggingface.co/{wanted.hub}"
        is_gated = bool(wanted.hub) and status in (401, 403)
        if choice == "auto":
            return FoundWeights(None, "trained from random weights: " + (
                f"its weights are given {accepted}" if is_gated else
                "no ImageNet weights on this machine, no network"))
        if is_gated:
            raise WeightsError(
                f"The weights of {spec.name} are given {accepted}. Accept it there, and fetch them with: hf auth login "
                f"&& hf download {wanted.hub} {Path(wanted.url).name} (matlens finds them in that cache). Or download "
                f"{wanted.url} into a folder as {wanted.name}, and name the folder with --weights-dir.") from error
        searched = ", ".join(dict.fromkeys(str(folder) for folder in search_folders(spec.of_framework, weights_dir)))
        raise WeightsError(
            f"No ImageNet weights for {spec.name}: {wanted.name} is not in {searched}, and downloading "
            f"{wanted.url} failed ({type(error).__name__}). Either put that file into "
            f"{weights_dir or spec.of_framework.weights_folder()} (or name its folder with --weights-dir), or turn the "
            "network on, or train from random weights with --weights none (in Python: weights=None, pretrained=False).",
            (spec.name, wanted.name, wanted.url)) from error


def all_missing(errors: Sequence[WeightsError], weights_dir: Path | None) -> WeightsError:
    """Return the one error that tells of all weights that are missing; the first where there are other reasons."""
    missing = [error.missing for error in errors if error.missing]
    if len(missing) < 2:
        return errors[0]
    files = "; ".join(f"{model}: {file} from {url}" for model, file, url in missing)
    return WeightsError(
        f"No ImageNet weights for {len(missing)} models, neither in the caches of their frameworks"
        f"{f' nor in {weights_dir}' if weights_dir else ''} nor from the network. {files}. Either put these files into "
        "one folder and name it with --weights-dir, or turn the network on, or train from random weights with "
        "--weights none (--weights auto takes those that are there).")


def _download(file: WeightsFile, folder: Path) -> Path:
    """Download a file into the framework's own cache, where other tools find it too. Whole or not at all."""
    import logging
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")  # of tqdm, in a notebook without ipywidgets
        import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    full_hash = file.hash if len(file.hash) in (len("md5:") + 32, len("sha256:") + 64) else None
    path = Path(pooch.retrieve(file.url, full_hash, fname=file.name, path=folder,
                               downloader=pooch.HTTPDownloader(timeout=20)))
    if file.hash and full_hash is None:
        algorithm, _, start = file.hash.partition(":")
        if not hashlib.new(algorithm, path.read_bytes()).hexdigest().startswith(start):
            path.unlink()
            raise ValueError(f"{file.url} does not have the hash {file.hash}")
    return path
