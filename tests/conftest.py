"""Fixtures that several test files share. Nothing here imports a framework."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from matlens.cli import main as command_line
from matlens.data.drawn.synthetic import draw_dataset
from matlens.system.resources import has_nvidia_gpu
from processes import GPU_TESTS_ON, Cli
from published import publish


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a GPU where there is none, and those of all families of networks unless asked for."""
    if os.environ.get("MATLENS_FAMILIES") != "all":
        for item in items:
            if item.get_closest_marker("families"):
                item.add_marker(pytest.mark.skip(reason="one of many families of networks: MATLENS_FAMILIES=all tries "
                                                        "them all (make families)"))
    on_a_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if on_a_gpu and GPU_TESTS_ON == "cuda" and not has_nvidia_gpu():
        for item in on_a_gpu:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU: nvidia-smi lists none, or CUDA_VISIBLE_DEVICES "
                                                    "hides it"))


@pytest.fixture(scope="session")
def keras() -> ModuleType:
    """Keras, imported when first asked for: test files are collected in every group's process."""
    return pytest.importorskip("keras")


@pytest.fixture(scope="session")
def published(keras: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that stands for the published weights of MobileNetV2 (alpha 0.35), and is named as that."""
    file = tmp_path_factory.mktemp("weights") / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    return publish(keras, keras.applications.MobileNetV2, file, alpha=0.35)


@pytest.fixture(scope="session")
def kept_trunks(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with MobileNetV2's trunk for `published` weights and four classes, and the front at the guide's cut."""
    from matlens.features.trunks import LAST_LAYERS, TrunkOrder, confirm_trunk, draft_trunk
    from matlens.models.protocol import BuildOrder, room_of

    cache = tmp_path_factory.mktemp("cache")
    build = BuildOrder("mobilenetv2_transfer", 4, (64, 64), published, {"alpha": 0.35})
    room = room_of(build.model)
    classifier = room.build(build)
    for order in (TrunkOrder(build), TrunkOrder(build, LAST_LAYERS)):
        draft_trunk(classifier, order, cache)
        confirm_trunk(classifier, order, cache, room.versions())
    return cache


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, likewise."""
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def one_thread(torch: ModuleType) -> Iterator[None]:
    """PyTorch with one thread, here and in children: sums in the same order, and no waiting where a core is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photographs and weights; skips (in CI: fails) without it."""
    folder = Path(os.environ.get("MATLENS_SHARED", Path(__file__).parents[2] / "shared"))
    if not (folder / "data" / "trashnet-2527").is_dir():
        if os.environ.get("MATLENS_REQUIRE_REAL"):
            pytest.fail(f"no real photographs in {folder}")
        pytest.skip(f"no real photographs in {folder}")
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn materials, twelve photos each, 48 px."""
    return draw_dataset(tmp_path_factory.mktemp("drawn") / "photos", photos_per_class=12, size=48, seed=1,
                        materials=("brick", "foliage", "sky", "wood"))


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Run `matlens` in a process of its own, with a cache of its own."""
    cache = tmp_path_factory.mktemp("cache")

    def run(*arguments: str | Path, timeout: int = 1800) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "matlens", *map(str, arguments)], text=True, capture_output=True,
                              timeout=timeout, env={**os.environ, "MATLENS_CACHE": str(cache)}, check=False)

    return run


@pytest.fixture(scope="session")
def cache_of_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of commands that name none: not that of who runs the tests, where an earlier version may have written.
    """
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def matlens(monkeypatch, capsys, cache_of_session):
    """Run the command line here. Returns (exit code, standard output, standard error in one line)."""
    if "MATLENS_CACHE" not in os.environ:
        monkeypatch.setenv("MATLENS_CACHE", str(cache_of_session))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["matlens", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            command_line.main()
        out = capsys.readouterr()
        return int(stopped.value.code or 0), out.out, " ".join(out.err.split())

    return run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of two networks that know colours (`small_run.py`). Tests add to it, no more."""
    from small_run import make_run

    return make_run(tmp_path_factory.mktemp("small")).path
