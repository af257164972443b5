"""Models by the names of libraries: patterns, near names, and the reasons of a library."""

from __future__ import annotations

import pytest

from matlens.errors import CrashedError, ModelError, SettingsError, WeightsError
from matlens.models.library import LIBRARIES, Library
from matlens.models.registry import MODELS, names_matching
from matlens.models.weights import find_weights
from matlens.settings.checks import MOST_FITTING, any_number_of_models
from matlens.settings.schema import Settings
from matlens.system.registry import near

GATED = "acme/secret is gated. Accept its licence at https://acme.example/secret"


@pytest.fixture
def acme(monkeypatch) -> None:
    """A library of one network that can be a model, and one that cannot."""
    def spec(name: str):
        if name == "secret":
            raise ModelError(GATED)
        return MODELS["keras/MobileNet"]

    monkeypatch.setitem(LIBRARIES._entries, "acme", Library("acme", "Acme", lambda: ("open", "secret"), spec))
    monkeypatch.setattr(MODELS, "_of_libraries", {})


def test_a_pattern_stands_for_the_names_that_fit_in_their_order():
    """Whoever compares a family need not write it out; case is no reason to find nothing."""
    expected = ("keras/ResNet50V2", "keras/ResNet101V2", "keras/ResNet152V2")
    assert names_matching("keras/ResNet*V2") == names_matching("keras/resnet*v2") == expected
    assert names_matching("*_transfer") == ("resnet50_transfer", "mobilenetv2_transfer")
    assert Settings(models="vgg19_scratch,keras/ResNet*V2").models == ("vgg19_scratch", *expected)


def test_a_pattern_in_a_settings_file_is_one(tmp_path):
    """Command line, Python and file mean the same."""
    (tmp_path / "m.toml").write_text('models = ["keras/MobileNetV3*"]\n')
    assert Settings.load(tmp_path / "m.toml").models == ("keras/MobileNetV3Small", "keras/MobileNetV3Large")


def test_a_pattern_that_fits_many_models_is_refused_with_their_number():
    """Each of them would be trained, for hours; names that are written out are meant."""
    every = names_matching("keras/*")
    assert len(every) > MOST_FITTING
    with pytest.raises(SettingsError, match=rf"{len(every)} models.*--yes"):
        Settings.load(options={"models": "keras/*"})
    with any_number_of_models():
        assert Settings.load(options={"models": "keras/*"}).models == every
    assert Settings.load(options={"models": ",".join(every)}).models == every


@pytest.mark.parametrize(("name", "meant"), [
    ("mobilenetv2_transfr", "mobilenetv2_transfer"), ("EfficientNetV2B0", "keras/EfficientNetV2B0"),
    ("keras/efficientnetv2-b0", "keras/EfficientNetV2B0"), ("keras/Resnet50x*", "keras/ResNet50")])
def test_a_name_that_is_not_there_is_answered_with_near_ones(name, meant):
    """Nobody remembers how a library spells its names."""
    with pytest.raises(SettingsError, match=meant):
        Settings.load(options={"models": name})


def test_a_librarys_own_reason_is_shown_and_no_unknown_model(acme):
    """A gated network is there; that it is unknown would send the user the wrong way."""
    for options in ({"models": "acme/secret"}, {"epochs_of": {"acme/secret": 3}},
                    {"model_options": {"acme/secret": {"alpha": 1}}}):
        with pytest.raises(SettingsError) as raised:
            Settings.load(options=options)
        assert GATED in str(raised.value)


def test_what_is_near_is_spelled_alike_or_holds_the_name():
    """Three at most, the nearest first, whatever the case."""
    known = ("ResNet50", "ResNet101", "Xception", "VGG16")
    assert near("xeption", known) == ["Xception"]
    assert near("resnet", known) == ["ResNet50", "ResNet101"]
    assert near("swin", known) == []


def test_weights_of_another_width_are_another_file():
    """The file of the wrong width would not fit, or be downloaded for nothing."""
    spec = MODELS["keras/MobileNet"]
    assert [file.name for file in spec.weights_files({"alpha": 0.5}, 160)] == [
        "mobilenet_5_0_160_tf_no_top.h5", "mobilenet_5_0_224_tf_no_top.h5"]
    assert [file.name for file in spec.weights_files({}, 100)] == ["mobilenet_1_0_224_tf_no_top.h5"]
    with pytest.raises(WeightsError, match=r"keras/MobileNet .*alpha=0\.6.*--weights none"):
        find_weights(spec, "imagenet", options={"alpha": 0.6})
    assert find_weights(spec, "auto", options={"alpha": 0.6}).path is None


def test_what_a_library_said_before_its_process_ended_is_kept(monkeypatch, tmp_path):
    """One network of 400 that ends the process would cost all of them another look, again and again."""
    from matlens.models.libraries import kept

    asked = []

    def ended(job, subjects, log_file, on_event):
        asked.append(subjects)
        on_event({"event": "said", "networks": {"first": {"refused": ""}}})
        raise CrashedError("signal SIGSEGV")

    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "run_job", ended)
    for _ in range(2):
        with pytest.raises(CrashedError):
            kept.LibraryFacts("acme", (), "acme").of(["first", "second"], tuple)
    assert asked == [("first", "second"), ("second",)]
