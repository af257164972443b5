"""Any model that a notebook holds, behind the protocol that the rest of the package knows."""

from __future__ import annotations

from typing import Any

from matlens.errors import DataError, ModelError
from matlens.models.frameworks import FRAMEWORKS, Framework, is_keras
from matlens.models.protocol import Classifier
from matlens.models.registry import spec_of
from matlens.notebook.inception import MODEL, InceptionV1Wrapper

ADD_SIGMOID = "Give it a sigmoid: keras.Sequential([model, keras.layers.Activation('sigmoid')])"
"""What makes a probability of a model's one output."""


def framework_behind(model: Any) -> Framework | None:
    """Return the framework of a Keras model or a wrapper; None for anything else. This imports no framework."""
    if isinstance(model, InceptionV1Wrapper):
        return spec_of(MODEL).of_framework
    return FRAMEWORKS["keras"] if is_keras(model) else None


def classifier_of(model: Any) -> Classifier:
    """Return the classifier behind a Keras model or a wrapper; a classifier is returned as it is.

    Raises:
        ModelError: it is none of these.
    """
    if isinstance(model, InceptionV1Wrapper):
        classifier: Classifier = model.classifier
        return classifier
    if is_keras(model):
        from matlens.models.keras.classifier import KerasClassifier

        return KerasClassifier(model)
    if hasattr(model, "train_epoch") and hasattr(model, "features"):
        own: Classifier = model
        return own
    if isinstance(model, tuple):
        raise ModelError("This is a tuple: the transfer builders return (model, base_model). Give the model alone.")
    raise ModelError(f"A {type(model).__name__} is neither a Keras model nor an InceptionV1Wrapper.")


def refuse_logit(model: Any, classifier: Classifier) -> None:
    """Raise ModelError for a Keras model whose single output is no probability: 0.5 would not part its classes."""
    if classifier.num_classes == 1:
        from matlens.models.keras.preprocessing import answers_with_probabilities

        if not answers_with_probabilities(model):
            raise ModelError(f"{model.name} has one output, which is no probability of its second class. {ADD_SIGMOID}")


def refuse_other_size(classifier: Classifier, images: Any) -> None:
    """Raise DataError for photos of another size than the model was built for."""
    size = classifier.input_size
    if size is not None and tuple(images.shape[1:3]) != size:
        raise DataError(f"The model takes photos of {size[0]} x {size[1]} pixels, not of {images.shape[1]} x "
                        f"{images.shape[2]}. Use img_size={size} for the data, or build the model for them.")
