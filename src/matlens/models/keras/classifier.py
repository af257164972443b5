"""A compiled Keras model behind the protocol."""

import json
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import numpy.typing as npt

from matlens.errors import ModelError
from matlens.models.averaging import WeightAverage
from matlens.models.head import Head
from matlens.models.keras.backends import backend
from matlens.models.keras.backends.base import StepMaker, scores_in
from matlens.models.keras.cut import find_backbone, find_cut, head_of, last_map_name, trunk_of, write_openvino
from matlens.models.keras.finetuning import after_cut, before_cut, cut_before, freeze_until, normalisations
from matlens.models.keras.gradients import features_and_gradients
from matlens.models.keras.head_weights import put_head, shift_last_biases
from matlens.models.keras.optimizers import compile_classifier, fast_adam
from matlens.models.keras.states import optimizer_state, restore_optimizer
from matlens.models.keras.steps import Accumulation, Means, measure_precision, mixed
from matlens.models.keras.transfer import unfreeze
from matlens.models.micro_batches import MicroBatches, Parts
from matlens.models.precision import PRECISIONS, ChosenPrecision, Precision
from matlens.models.protocol import FINETUNING_LEARNING_RATE, LAYERS_TO_UNFREEZE
from matlens.system.files import whole_file
from matlens.types import Array, Batch, ClassCounts, Labels, OnStep, Pixels, Scores


class KerasClassifier:
    """See `models.protocol.Classifier`."""

    def __init__(self, model: keras.Model, base_model: keras.Model | None = None,
                 precision: Precision | ChosenPrecision = "float32", micro_batches: MicroBatches | None = None, *,
                 of_photos: bool = True) -> None:
        """of_photos: False for what follows a cut, which takes activations."""
        if not hasattr(model, "output_shape") or len(model.input_shape) != 4:
            raise ModelError(f"The model {model.name} does not say that it takes photos: build it from "
                             "keras.Input((height, width, 3)).")
        self.model = model
        self.base_model = base_model if base_model is not None else find_backbone(model)
        self.chosen = precision if isinstance(precision, ChosenPrecision) else ChosenPrecision(precision)
        self._of_photos = of_photos
        self._accumulation: Accumulation | None = None
        self._steps: StepMaker | None = None
        self._compiled: Any = None
        self._trunks: dict[str | None, keras.Model] = {}
        self.micro_batches = micro_batches or MicroBatches(backend().is_out_of_memory, backend().free)
        self._scale_loss()

    @property
    def learning_rate(self) -> float:
        """The optimiser's present learning rate."""
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        backend().set_rate(self.model.optimizer, value)

    @property
    def num_classes(self) -> int:
        """C, the number of outputs."""
        return int(self.model.output_shape[-1])

    @property
    def device(self) -> str:
        """Where it runs."""
        return backend().device

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the photos that it takes; None where it takes any."""
        height, width = self.model.input_shape[1:3]
        return None if height is None or width is None else (height, width)

    @property
    def last_conv_layer_name(self) -> str:
        """The layer whose output is the feature map."""
        return last_map_name(self.model)

    @property
    def parameters(self) -> tuple[int, int]:
        """(all, trainable) numbers."""
        return self.model.count_params(), sum(int(np.prod(w.shape)) for w in self.model.trainable_weights)

    @property
    def takes_bytes(self) -> bool:
        """Whether batches of photos should come as bytes."""
        return self._of_photos and backend().takes_bytes

    @property
    def precision(self) -> Precision:
        """The arithmetic of training steps."""
        return self.chosen.precision

    @property
    def trains_statistics(self) -> bool:
        """Whether batch normalisation runs in training mode in `fit`."""
        return any(layer.trainable for layer in normalisations(self.model))

    # `fit` and `evaluate` would wrap a Python generator in tf.data with a prefetching thread, and throwing such an
    # iterator away while that thread waits for Python's lock stalls for half a minute (seen with TensorFlow 2.21).

    def train_epoch(self, batches: Iterable[Batch], on_step: OnStep) -> Scores:
        """Train once on each batch; the scores are means over photos."""
        means = Means()
        before = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        with ExitStack() as precision, backend().own_dropout(self.model) as seed_step:
            for step, (images, labels) in enumerate(backend().fed(batches), 1):
                if step == 1:
                    measure_precision(self, images, labels, partial(seed_step, before + 1))
                    precision.enter_context(mixed(self.model, self.precision))
                    self._stepper.begin_epoch(training=True)
                train_on = partial(self._train_on, images, labels, partial(seed_step, before + step))
                means.add(*self.micro_batches.run(len(images), train_on), len(images))
                on_step(step, means.scores)
        return means.scores()

    def _train_on(self, images: Any, labels: Any, seed_part: Callable[[int], None], parts: Parts) -> tuple[Any, Any]:
        if len(parts) > 1:
            self._stepper.drop()
            if self._accumulation is None or self._accumulation.optimizer is not self.model.optimizer:
                self._accumulation = Accumulation(self.model)  # the model was compiled since
            self.model.reset_metrics()
            return scores_in(self._accumulation.train_on(images, labels, parts, seed_part))
        seed_part(0)
        return self._stepper.train_on(images, labels)

    @property
    def _stepper(self) -> StepMaker:
        """What computes steps; another one where the model was compiled since."""
        compiled = (self.model.optimizer, self.model.loss)
        if self._steps is None or self._compiled != compiled:
            self._steps, self._compiled = backend().stepper(self.model), compiled
        return self._steps

    def validate(self, batches: Iterable[Batch], *, macro_f1: bool = False) -> Scores:
        """Return loss and accuracy, means over photos. macro_f1: that, too, by another pass."""
        means = Means()
        counts = ClassCounts(self.num_classes) if macro_f1 else None
        with backend().exact_float32():
            self._stepper.begin_epoch(training=False)
            for images, labels in backend().fed(batches):
                for scores in self.micro_batches.run(len(images), partial(self._test_on, images, labels)):
                    means.add(*scores)
                if counts is not None:
                    answers = self.micro_batches.run(len(images), partial(self._answers, images))
                    counts.add(np.concatenate(answers), keras.ops.convert_to_numpy(labels).argmax(axis=1))
        return means.scores() if counts is None else replace(means.scores(), macro_f1=counts.macro_f1())

    def _test_on(self, images: Any, labels: Any, parts: Parts) -> list[tuple[Any, Any, int]]:
        return [(*self._stepper.test_on(images[start:end], labels[start:end]), end - start) for start, end in parts]

    def _answers(self, images: Any, parts: Parts) -> list[Labels]:
        return [np.asarray(self.model.predict_on_batch(backend().as_input(images[start:end]))).argmax(axis=1)
                for start, end in parts]

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Average each normalisation's batch mean and variance over the batches.

        Batch i is weighted 1/(i + 1), by the momentum.
        """
        layers = normalisations(self.model)
        momenta = [layer.momentum for layer in layers]
        try:
            with backend().exact_float32():
                for number, (images, _) in enumerate(backend().fed(batches)):
                    backend().update_statistics(self.model, layers, backend().as_input(images), number / (number + 1))
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum

    def predict(self, images: Array) -> Array:
        """Return probabilities (B, C) float32."""
        with backend().exact_float32():
            return np.asarray(self.model.predict(images, batch_size=32, verbose=0), dtype=np.float32)

    def features(self, images: Array, until: str | None = None) -> Array:
        """Return feature maps (B, h, w, K) float32. Raises ModelError for a model that cannot be cut."""
        with backend().exact_float32():
            maps = backend().without_gradients(self._same_trunk(until), np.asarray(images), training=False)
            return np.asarray(keras.ops.convert_to_numpy(maps), dtype=np.float32)

    def _trunk(self, until: str | None) -> keras.Model:
        return trunk_of(self.model, find_cut(self.model)) if until is None else before_cut(self.model, until)

    def _same_trunk(self, until: str | None) -> keras.Model:
        if until not in self._trunks:
            self._trunks = {until: self._trunk(until)}  # the last alone: what was compiled of it holds memory
        return self._trunks[until]

    def sent(self, pixels: Pixels) -> Any:
        """Begin to copy photos to the device, from any thread."""
        return backend().sent(pixels)

    def features_of(self, pixels: Any, until: str | None, pooled: bool) -> Array:
        """Return features of bytes, averaged on the device. Raises ModelError for a layer that is no cut."""
        return backend().features_of(self._same_trunk(until), pixels, pooled)

    def features_and_gradients(self, images: Array, classes: Labels, layer: str) -> tuple[Array, Array]:
        """Return any layer's output and the class logit's gradient there, by the back end. Raises ModelError."""
        with backend().exact_float32():
            return features_and_gradients(self.model, images, classes, layer)

    def head(self) -> Head:
        """Return a copy of the head. Raises ModelError for a model that cannot be cut."""
        return head_of(find_cut(self.model))

    def set_head(self, head: Head) -> None:
        """See `Divisible`."""
        put_head(self.model, head)

    def shift_logits(self, by: Array) -> None:
        """See `Divisible`."""
        shift_last_biases(self.model, by)

    def begin_finetuning(self, cut: str | None = None) -> None:
        """Unfreeze the end of the backbone, or what follows the cut, and take Adam(1e-5)."""
        if cut is not None:
            freeze_until(self.model, cut)
            compile_classifier(self.model, fast_adam(FINETUNING_LEARNING_RATE))
        elif self.base_model is not None:
            unfreeze(self.model, self.base_model, LAYERS_TO_UNFREEZE)
        self._scale_loss()

    def cut_for_finetuning(self) -> str:
        """Return the last cut before the layers that the guide's second stage unfreezes. Raises ModelError."""
        chain = (self.base_model or self.model).layers
        return cut_before(self.model, chain[max(0, len(chain) - LAYERS_TO_UNFREEZE)])

    def after(self, cut: str) -> "KerasClassifier":
        """Return the rest of the network on activations, with an Adam of the same learning rate."""
        rest = after_cut(self.model, cut)
        compile_classifier(rest, fast_adam(self.learning_rate))
        return KerasClassifier(rest, precision=self.chosen, micro_batches=self.micro_batches, of_photos=False)

    def average(self) -> WeightAverage:
        """Begin a moving average of the weights."""
        return backend().average(self, self.model)

    def use_adamw(self, weight_decay: float) -> None:
        """Train with AdamW from now on; biases and normalisation do not decay."""
        optimizer = keras.optimizers.AdamW(self.learning_rate, weight_decay=weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        compile_classifier(self.model, optimizer)
        self._scale_loss()

    def snapshot(self) -> list[npt.NDArray[Any]]:
        """Return a copy of all weights."""
        weights: list[npt.NDArray[Any]] = self.model.get_weights()
        return weights

    def restore(self, snapshot: Any) -> None:
        """Set all weights."""
        self.model.set_weights(snapshot)

    def training_state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the optimiser's variables, and how many photos fit into memory at once."""
        measured = {"precision": np.array(PRECISIONS.index(self.precision))} if self.chosen.measured else {}
        return {"micro_batch": np.array(self.micro_batches.size or 0), **measured, **optimizer_state(self.model)}

    def resume(self, snapshot: list[npt.NDArray[Any]], state: dict[str, npt.NDArray[Any]]) -> None:
        """Restore the state that `snapshot` and `training_state` returned. Raises ModelError."""
        restore_optimizer(self.model, state)
        self.micro_batches.limit(int(state["micro_batch"]) or None)
        if "precision" in state:
            self.chosen.decide(PRECISIONS[int(state["precision"])])
        self.restore(snapshot)

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write Keras' .h5 without the optimiser (it would treble VGG19's), with `about` as the dataset `matlens`."""
        with whole_file(path) as partial:
            self.model.save(partial, include_optimizer=False)
            with h5py.File(partial, "a") as file:
                file.create_dataset("matlens", data=json.dumps(about))

    def export_trunk(self, folder: Path, until: str | None = None) -> Head:
        """Write trunk.xml and trunk.bin; return the head."""
        write_openvino(self._trunk(until), folder / "trunk.xml")
        return self.head()

    def _scale_loss(self) -> None:
        if self.precision == "float16" and not isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer):
            # float16's smallest number is 6e-8, and many gradients are smaller.
            self.model.optimizer = keras.optimizers.LossScaleOptimizer(self.model.optimizer)
