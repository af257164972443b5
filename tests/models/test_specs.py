"""Declarations of models: an incomplete one fails where it is declared, a wrong wish where it is asked for."""

from __future__ import annotations

import pytest

from matlens.errors import ModelError, SettingsError
from matlens.models.protocol import BuildOrder
from matlens.models.registry import MODELS, default_models
from matlens.models.spec import MLP, ModelSpec, WeightsFile
from matlens.system import registry
from matlens.system.transport import decode, encode

HEAD = MLP(8, dropout=0.0)
FILES = (WeightsFile("w.h5", "https://x/w.h5"),)


def declared(**changes: object) -> ModelSpec:
    fields = {"name": "mine", "title": "Mine", "framework": "keras", "backbone": "MobileNetV2", "head": HEAD}
    return ModelSpec(**{**fields, **changes})


@pytest.mark.parametrize(("changes", "word"), [
    ({"title": ""}, "title"), ({"framework": "mxnet"}, "mxnet"), ({"backbone": None}, "builds"),
    ({"network": lambda order: None}, "both"), ({"head": None}, "head"),
    ({"backbone": None, "network": lambda order: None}, "head"), ({"strong_cut": "block_3"}, "strong_cut"),
    ({"weights": ()}, "weights"), ({"pooling": "max_flatten"}, "pooling"),
    ({"limits": {"alpha": (0, 2)}}, "limits"), ({"sizes": ((16, 16),)}, "size"),
    ({"options": {"deep": True}}, "option"),
    ({"options": {"pooling": "sum"}, "choices": {"pooling": ("avg",)}}, "choices")])
def test_an_incomplete_declaration_fails_with_the_models_name(changes, word):
    """Who adds a model hears of it at once and not after an hour of training."""
    with pytest.raises(ValueError, match=f"'mine'.*{word}"):
        declared(**changes)


def test_a_model_without_a_name_is_named_by_its_title():
    """There is nothing else to name it by."""
    with pytest.raises(ValueError, match=r"'Mine'.*name"):
        declared(name=" ")


@pytest.mark.parametrize("name", [" mine", "my model", "a,b", "all", "../mine", "-x", "a\nb", "mine_val", "mine.int8"])
def test_a_name_that_lists_and_files_cannot_hold_is_refused(name):
    """It could not be chosen with --models, or its files would be those of another model."""
    with pytest.raises(ValueError, match="name"):
        declared(name=name)


@pytest.mark.parametrize("name", ["acme-tiny", "Acme/tiny"])
def test_two_models_never_share_files(monkeypatch, name):
    """The second would count as trained, and show the results of the first."""
    monkeypatch.setitem(MODELS._entries, "acme/tiny", declared(name="acme/tiny"))
    with pytest.raises(ValueError, match=f"'{name}'.*acme/tiny"):
        MODELS.register(declared(name=name))


def test_a_doubled_declaration_fails_with_its_name():
    """The second would silently take the first one's place in every table."""
    with pytest.raises(ValueError, match="vgg19_scratch"):
        MODELS.register(declared(name=MODELS["vgg19_scratch"].name))


def test_a_plug_in_that_is_incomplete_fails_at_import_with_file_and_name(tmp_path, monkeypatch):
    """The registry is asked first by the command line: that is where the message must come."""
    plug_in = tmp_path / "half.py"
    plug_in.write_text("from matlens.models.spec import ModelSpec\nModelSpec('half', 'Half', 'torch')\n")
    monkeypatch.setenv(registry.PLUGINS, str(plug_in))
    with pytest.raises(SettingsError, match=r"half\.py.*'half'"):
        registry.load_plugins()


def test_a_plug_in_that_failed_is_imported_whole_once_it_is_mended(tmp_path, monkeypatch):
    """What it registered before it failed would count as doubled, in a notebook until its process ends."""
    plug_in = tmp_path / "broken.py"
    whole = ("from matlens.models.registry import register\nfrom matlens.models.spec import ModelSpec\n"
             "register(ModelSpec('twice', 'Twice', 'torch', network=print))\n")
    monkeypatch.setenv(registry.PLUGINS, str(plug_in))
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    for end in ("1 / 0", "raise SystemExit(3)"):
        plug_in.write_text(whole + end)
        for _ in range(2):
            with pytest.raises(SettingsError, match=r"broken\.py.*(ZeroDivisionError|SystemExit)"):
                registry.load_plugins()
        assert "twice" not in MODELS._entries and "vgg19_scratch" in MODELS._entries
    plug_in.write_text(whole)
    registry.load_plugins()
    assert MODELS["twice"].title == "Twice"


@pytest.mark.parametrize(("name", "options", "word"), [
    ("resnet50_transfer", {"alpha": 0.5}, "alpha"), ("mobilenetv2_transfer", {"depth": 2}, "depth"),
    ("mobilenetv2_transfer", {"alpha": "wide"}, "alpha")])
def test_an_option_that_a_model_does_not_have_is_refused(name, options, word):
    """It would be in the run's record and in the cache's key, and change nothing."""
    with pytest.raises(ModelError, match=f"{name}.*{word}"):
        BuildOrder(name, 3, options=options)


def test_options_take_the_type_of_their_default():
    """`alpha=1` names the same file of weights as `alpha=1.0`."""
    spec = MODELS["mobilenetv2_transfer"]
    assert spec.all_options({"alpha": 1}) == {"alpha": 1.0}
    assert spec.weights_files({"alpha": 1}, 224) == spec.weights_files({}, 224)


def test_photos_of_a_size_that_a_model_does_not_take_are_refused():
    """A transformer's positions are of one size; Keras' and PyTorch's own messages name shapes of matrices."""
    fixed = declared(sizes=((64, 64), (64, 48)))
    fixed.refuse_size((64, 48))
    with pytest.raises(ModelError, match=r"mine.*64 x 64, 64 x 48.*96 x 96"):
        fixed.refuse_size((96, 96))
    with pytest.raises(ModelError, match=r"vgg19_scratch.*32.*31 x 64"):
        BuildOrder("vgg19_scratch", 3, (31, 64))


def test_sides_that_are_no_multiples_of_a_transformers_patch_are_refused_with_one_that_is():
    """A patch that is cut off at the edge would not be seen, and nobody would hear of it."""
    patches = declared(multiple_of=14, smallest_side=32)
    patches.refuse_size((56, 42))
    with pytest.raises(ModelError, match=r"mine.*32 pixels or more.*28 x 28.*--img-size 42"):
        patches.refuse_size((28, 28))
    with pytest.raises(ModelError, match=r"mine.*14.*100 x 98.*--img-size 98"):
        patches.refuse_size((100, 98))


def test_a_word_that_is_no_choice_of_an_option_is_refused():
    """A mistyped pooling would be in the run's record, and mean nothing."""
    spec = declared(options={"pooling": "token"}, choices={"pooling": ("token", "avg")})
    assert (spec.pooling_of({}), spec.pooling_of({"pooling": "avg"})) == ("token", "avg")
    with pytest.raises(ModelError, match=r"mine.*'sum'.*token, avg"):
        spec.all_options({"pooling": "sum"})


def test_an_order_arrives_in_a_child_process_as_it_was_given(tmp_path):
    """What is lost on the way is built with a default instead."""
    order = BuildOrder("mobilenetv2_transfer", 3, (64, 48), tmp_path / "w.h5", {"alpha": 0.35}, "bfloat16", "cpu")
    assert decode(encode(order), BuildOrder) == order


def test_the_guides_four_are_the_default_run():
    """They are the guide's, in its order."""
    assert default_models() == ("vgg19_scratch", "resnet50_transfer", "mobilenetv2_transfer", "inception_v1")
