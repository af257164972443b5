"""The guide's `train_model`: the same loop that `matlens run` uses, for a model and data that a notebook holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from matlens.data.batches import PhotoBatches, as_batch, source_of
from matlens.errors import DataError, ModelError, SettingsError
from matlens.models.frameworks import FRAMEWORKS, is_keras
from matlens.models.protocol import Classifier
from matlens.notebook.adapters import classifier_of, framework_behind, refuse_other_size
from matlens.notebook.class_names import agreed_names, classes_of, give_names, names_of
from matlens.notebook.photos import PhotoCheck, refuse_endless, refuse_no_targets, refuse_other_width
from matlens.settings.arguments import folder_of, refuse_no_file_name, refuse_no_number, whole_number
from matlens.system.console import Reporter
from matlens.training.history import History, refuse_no_history
from matlens.training.loop import STATISTICS_BATCHES, fit
from matlens.training.progress import ShownProgress
from matlens.types import Batch


def train_model(model: Any, train_ds: Iterable[Any], val_ds: Iterable[Any], name: str, epochs: int = 4,
                early_stopping_patience: int = 5, reduce_lr_patience: int = 3, initial_epoch: int = 0,
                verbose: int = 1, save_dir: str | Path | None = None, *,
                history: History | None = None) -> History:
    """Train a Keras model or an InceptionV1Wrapper; it ends with the weights of the lowest validation loss.

    Whenever the validation loss has a new lowest value, the model is saved, whole or not at all, as save_dir/<name>.h5
    (of an InceptionV1Wrapper: .pth). The names of its classes are saved with it, and the model has them from then on as
    `class_names`.

    Args:
        model: compiled, with one output for each class.
        train_ds, val_ds: what `build_datasets` returns, or any iterable of (images (B, H, W, 3) float32 in [0, 1],
            one-hot labels (B, C)) batches, of arrays or tensors: a tf.data.Dataset, a list, a generator (for one
            epoch). They are streamed, and losses are means over the photos that came. A model whose first layer scales
            photos in [0, 255], or that has `input_range = (0, 255)`, takes those.
        name: of the file.
        epochs: the last epoch's number; training begins with initial_epoch + 1, as in Keras' `fit`.
        early_stopping_patience: stop after so many epochs without a new lowest validation loss.
        reduce_lr_patience: after so many, multiply the learning rate by 0.1.
        verbose: 0 silent, 1 progress and a line an epoch, 2 a line an epoch.
        save_dir: by default MODELS_DIR.
        history: what an earlier call returned, for a second stage of the same model: it is continued, and its best
            epoch stays the one to beat, so a worse second stage does not replace the file.

    Returns:
        The history; its `history` is {loss, accuracy, val_loss, val_accuracy, learning_rate: [one per epoch]}.

    Raises:
        ModelError: a model that is not compiled, whose outputs are not the data's classes, or that diverges.
        DataError: no batches, a generator that is used up, photos of another range than the model takes, or values that
            are no numbers.
        LabelsError: train_ds and val_ds have other class names each, or labels that are no shares of the classes.
        SettingsError: nothing to train, a name that is no file name, or a number that is none.
    """
    epochs, initial_epoch = whole_number(epochs, "epochs"), whole_number(initial_epoch, "initial_epoch", 0)
    if epochs <= initial_epoch:
        raise SettingsError(f"epochs={epochs} with initial_epoch={initial_epoch} leaves nothing to train: epochs is "
                            f"the number of the last epoch. Give more, such as: epochs={initial_epoch + 4}")
    refuse_no_number(early_stopping_patience, "early_stopping_patience")
    refuse_no_number(reduce_lr_patience, "reduce_lr_patience")
    refuse_no_file_name(name, "name")
    refuse_no_history(history)
    folder = folder_of(save_dir, "save_dir", "models_dir")
    classifier = classifier_of(model)
    if is_keras(model) and not model.compiled:
        raise ModelError(f"The model {model.name} is not compiled. Compile it with a loss and metrics=['accuracy'].")
    train, val = (_Repeated(data, what, model, epochs - initial_epoch)
                  for data, what in ((train_ds, "train_ds"), (val_ds, "val_ds")))
    names = _trained_names(train_ds, val_ds, classifier) or names_of(model)
    framework = framework_behind(model) or FRAMEWORKS["keras"]  # the guide's; a classifier of another kind says nothing
    file = folder / f"{name}{framework.suffix}"
    about = {"model_name": name, "class_names": list(names)}
    give_names(model, names)
    reporter = Reporter(quiet=verbose == 0)
    total = (train.length or 0) * (epochs - initial_epoch)
    with (reporter.progress(name, total) if verbose == 1 and total else nullcontext(_unseen)) as advance:
        return fit(classifier, train, val, ShownProgress(reporter, advance, train.length or 0, initial_epoch),
                   epochs=epochs, initial_epoch=initial_epoch, early_stopping_patience=early_stopping_patience,
                   reduce_lr_patience=reduce_lr_patience, save_best=lambda: classifier.save(file, about),
                   history=history)


def _unseen(done: int, words: str) -> None:
    pass


def _trained_names(train_ds: Any, val_ds: Any, classifier: Classifier) -> tuple[str, ...]:
    """Return the names of the classes that are trained; empty where the data have none. Raises LabelsError, ModelError.

    They are the model's from then on, whatever it was trained on before.
    """
    names, number = agreed_names({"train_ds": names_of(train_ds), "val_ds": names_of(val_ds)}), classifier.num_classes
    if len(names) not in (0, classes_of(number)):
        raise ModelError(f"The model has {number} outputs, but train_ds has {len(names)} classes. Build it with "
                         f"num_classes={len(names)} (NUM_CLASSES).")
    return names


class _Repeated:
    """Any iterable of batches as the loop's training data, or validation data; each batch is checked."""

    def __init__(self, data: Iterable[Any], what: str, model: Any, passes: int) -> None:
        self._data: Iterable[Any] = source_of(data, what)
        self._what, self._classifier = what, classifier_of(model)
        self._num_classes, self._check = self._classifier.num_classes, PhotoCheck(model, what)
        refuse_endless(self._data, what)
        self._once = iter(self._data) is self._data if hasattr(self._data, "__next__") else False
        self._first: list[Batch] = []
        if self._once and passes > 1:
            raise DataError(f"{what} is a generator, which can be gone through once, but {passes} epochs are asked "
                            "for. Give a list, a tf.data.Dataset, or an object whose __iter__ starts again.")

    @property
    def length(self) -> int | None:
        """Batches in an epoch, if they can be counted beforehand."""
        try:
            return len(self._data)  # type: ignore[arg-type]
        except TypeError:
            return None

    def __iter__(self) -> Iterator[Batch]:
        return self._checked(self._data)

    def epoch(self, number: int) -> Iterator[Batch]:
        return self._checked(self._data.epoch(number) if isinstance(self._data, PhotoBatches) else self._data)

    def head(self, batches: int) -> Iterable[Batch]:
        if isinstance(self._data, PhotoBatches):
            return self._data.head(batches)
        return self._first if self._once else islice(self._checked(self._data), batches)

    def _checked(self, batches: Iterable[Any]) -> Iterator[Batch]:
        empty = True
        for batch in batches:
            images, labels = as_batch(batch, self._what)
            refuse_other_width(labels, self._num_classes, self._what)
            self._check.batch(images)
            refuse_other_size(self._classifier, images)
            refuse_no_targets(labels, self._what)
            if self._once and len(self._first) < STATISTICS_BATCHES:
                self._first.append((images, labels))
            empty = False
            yield images, labels
        if empty:
            raise DataError(f"{self._what} gave no batch{' (this generator is used up)' if self._once else ''}. Give "
                            "batches of (images, labels).")
        self._check.end()
