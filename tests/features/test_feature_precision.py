"""Features in fewer bits: refused where they gain nothing, of the right photos, given up where they cost accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from builders import digest_of, split_of
from matlens.errors import DeviceError, SettingsError
from matlens.features.cache import feature_parts
from matlens.features.precision.comparison import compare_precisions
from matlens.features.precision.instructions import instructions_in, refuse_without_bfloat16
from matlens.features.precision.parts import judged_part, kept_features, learned_parts
from matlens.models.head import Dense, Head
from matlens.settings.schema import Settings
from matlens.system.shards.sharded import ShardedValues
from matlens.types import Progress

SHORTER = {"feature_precision": "bfloat16"}


@pytest.mark.parametrize(("options", "named"), [
    ({"recipe": "strong"}, "strong"), ({"finetune_epochs": 1}, "--finetune-epochs"),
    ({"feature_cache": False}, "cache"), ({"weights": "none"}, "--weights none"),
    ({"train_on": "train+val"}, "validation"), ({"protocol": "minc:all"}, "minc"),
    ({"protocol": "kfold:5"}, "kfold:5"), ({"features_on": "framework"}, "framework"),
    ({"feature_precision": "int8"}, "int8")])
def test_bfloat16_is_refused_where_it_would_do_nothing_or_could_not_be_checked(options, named):
    """Whoever asks for it must not believe that it was used."""
    with pytest.raises(SettingsError, match=named):
        Settings.load(options={"data_dir": ".", **SHORTER, **options})


def test_runs_of_earlier_versions_are_float32_and_a_resumed_run_must_agree():
    assert Settings.load(options={"data_dir": "."}).feature_precision == "float32"
    assert Settings.load(options={"data_dir": ".", **SHORTER}).agreed()["feature_precision"] == "bfloat16"
    assert "feature_precision" not in Settings.load(options={"data_dir": "."}).recorded_by_first_version()


def cpuinfo(folder: Path, flags: str) -> Path:
    file = folder / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: Some\nflags\t\t: fpu sse2 {flags}\n\nprocessor\t: 1\n")
    return file


def test_a_processor_without_the_instructions_is_refused_by_name_although_openvino_would_imitate_them(tmp_path):
    """With AVX-512 alone OpenVINO takes the type, and computes it more slowly than float32."""
    with pytest.raises(DeviceError, match=r"avx512_bf16.*--feature-precision float32"):
        refuse_without_bfloat16(cpuinfo(tmp_path, "avx512f avx512_vnni"))
    assert instructions_in(cpuinfo(tmp_path, "avx512_bf16")) == {"fpu", "sse2", "avx512_bf16"}
    assert instructions_in(tmp_path / "nowhere") is None


@pytest.mark.parametrize("capabilities", [["FP32", "BF16"], ["FP32"]])
def test_what_openvino_says_decides_where_the_system_lists_no_instructions(tmp_path, monkeypatch, capabilities):
    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return capabilities

    monkeypatch.setattr("matlens.features.precision.instructions.import_openvino", lambda: SimpleNamespace(Core=Core))
    if "BF16" in capabilities:
        refuse_without_bfloat16(tmp_path / "nowhere")
        return
    with pytest.raises(DeviceError, match="OpenVINO"):
        refuse_without_bfloat16(tmp_path / "nowhere")


def keep(cache: Path, rules: str, digests: Sequence[str], value_of: Callable[[str], float]) -> str:
    """Keep one number for each photo, and return the key."""
    def fill(chosen: tuple[str, ...], write: Callable[[int, np.ndarray], None], _: Progress) -> dict[str, object]:
        for row, digest in enumerate(chosen):
            write(row, np.array([value_of(digest)], np.float32))
        return {}

    return ShardedValues(cache, "features", "features", rules, digests, "<f4", lambda: (1,), fill,
                         ).opened_or_made().folder.name


def test_what_is_judged_is_float32_and_each_photo_gets_its_own_row(tmp_path):
    """Rows of another photo, or of the wrong arithmetic, would be results that no one could explain."""
    split = split_of(per_class=6)
    split = replace(split, photos=tuple(replace(photo, sha256=digest_of(photo.sha256)) for photo in split.photos))
    (learned,), judged = learned_parts(split, 1), judged_part(split)
    contents = {part: {photo.sha256 for photo in split.part(part)} for part in ("train", "val", "test")}
    assert all(contents.values())
    assert {*learned.digests} == contents["train"] | contents["val"]
    assert {*judged.digests} == contents["val"] | contents["test"]
    assert [part.digests for part in learned_parts(split, 3)[1:]] == [
        tuple(photo.sha256 for photo in split.part("train"))] * 2
    number = {digest: float(row) for row, digest in enumerate(sorted(contents["train"] | contents["val"]
                                                                     | contents["test"]))}
    learned_key = keep(tmp_path, "learned", learned.digests, lambda digest: number[digest] + 0.5)
    judged_key = keep(tmp_path, "judged", judged.digests, number.__getitem__)
    found = kept_features(tmp_path, split, split.photos, learned_key, judged_key)
    assert found is not None
    assert found[:][:, 0].tolist() == [
        number[photo.sha256] + (0.5 if photo.sha256 not in contents["val"] | contents["test"] else 0.0)
        for photo in split.photos]
    assert kept_features(tmp_path, split, split.photos, learned_key, "gone") is None
    everything = feature_parts(split, 1, pooled=True)[0].digests
    exact = kept_features(tmp_path, split, split.photos, keep(tmp_path, "all", everything, number.__getitem__), None)
    assert exact is not None
    assert exact[:][:, 0].tolist() == [number[photo.sha256] for photo in split.photos]


def test_a_head_is_given_up_where_it_loses_more_than_a_point_on_what_the_model_sees():
    """The model is float32: a head that is better there may stay, one that is worse has learned something else."""
    head = Head("avg", (Dense(np.eye(2, dtype=np.float32) * 4, np.zeros(2, np.float32), "softmax"),))
    labels = np.array([0, 1] * 100)
    exact = np.eye(2, dtype=np.float32)[labels]

    def with_wrong(count: int) -> np.ndarray:
        wrong = exact.copy()
        wrong[:count] = wrong[:count, ::-1]
        return wrong

    for wrong, holds in ((0, True), (2, True), (3, False)):
        for shorter, float32, lost in ((exact, with_wrong(wrong), wrong / 2), (with_wrong(wrong), exact, -wrong / 2)):
            compared = compare_precisions(head, shorter, float32, labels)
            assert compared.holds is (holds or lost < 0)
            assert compared.lost == pytest.approx(lost)
            assert compared.agreement == pytest.approx(1 - wrong / 200)
            assert compared.used == "bfloat16"
    assert compared.parity == pytest.approx(np.tanh(2))
    assert "98.5 %" in compared.remark
