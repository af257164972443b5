"""What must be installed for Keras, on whichever back end it runs."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from matlens.errors import ModelError
from matlens.models.frameworks import FRAMEWORKS, keras_backend, keras_environment
from matlens.models.protocol import open_room


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Say which packages are installed, and what keras.json names. Keras is not imported yet."""
    def say(*packages: str, preferred: str | None = None) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in packages else None)
        if preferred is not None:
            (tmp_path / "keras.json").write_text(json.dumps({"backend": preferred}))

    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    return say


@pytest.mark.parametrize(("packages", "preferred", "chosen"), [
    (("tensorflow", "torch", "jax"), None, "tensorflow"), (("tensorflow", "torch"), "torch", "torch"),
    (("torch", "jax"), None, "torch"), (("jax",), "tensorflow", "jax"), ((), None, "tensorflow")])
def test_keras_runs_on_what_is_installed(installed, packages, preferred, chosen):
    """Who installed matlens[keras-torch] has no TensorFlow, which Keras takes where nothing is said."""
    installed("keras", *packages, preferred=preferred)
    assert keras_backend() == chosen
    own = preferred or "tensorflow"
    assert keras_environment() == ({} if chosen == own else {"KERAS_BACKEND": chosen})


@pytest.mark.parametrize(("back_end", "extra"), [
    ("torch", "keras-torch"), ("jax", "keras-jax"), ("tensorflow", "keras")])
def test_what_is_missing_is_named_with_its_extra(installed, monkeypatch, back_end, extra):
    """KERAS_BACKEND=jax without JAX: TensorFlow would not help."""
    installed("keras")
    monkeypatch.setenv("KERAS_BACKEND", back_end)
    assert FRAMEWORKS["keras"].missing_packages() == [back_end]
    with pytest.raises(ModelError, match=rf"{back_end} is not installed.*matlens\[{extra}\]"):
        open_room("keras")


@pytest.mark.parametrize("name", ["theano", "TensorFlow"])
def test_a_back_end_that_there_is_not_is_named(installed, monkeypatch, name):
    """To install TensorFlow again would not help."""
    installed("keras", "tensorflow")
    monkeypatch.setenv("KERAS_BACKEND", name)
    with pytest.raises(ModelError, match=rf"no back end '{name}'.*export KERAS_BACKEND=tensorflow"):
        open_room("keras")


def test_a_damaged_keras_json_is_keras_default(installed, tmp_path):
    """Keras starts with it all the same."""
    installed("keras", "tensorflow", "torch")
    (tmp_path / "keras.json").write_text("{")
    assert keras_backend() == "tensorflow"


def test_without_a_home_folder_a_framework_is_known_all_the_same(monkeypatch):
    """Containers run as users that the system does not know: HOME is unset, and no account says where home is."""
    def nobody(number):
        raise KeyError(number)

    for name in ("HOME", "KERAS_HOME", "TORCH_HOME", "XDG_CACHE_HOME", "KERAS_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    with pytest.raises(RuntimeError):
        Path.home()
    for framework in FRAMEWORKS.values():
        assert framework.distributions
        assert isinstance(framework.weights_folder(), Path)
    assert not FRAMEWORKS["keras"].weights_folder().is_relative_to("~"), "Keras then takes a temporary folder"
