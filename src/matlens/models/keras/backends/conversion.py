"""Write a Keras model as OpenVINO's files by Keras' own OpenVINO back end, in a process of its own.

It is how a back end without a way to OpenVINO (JAX), or with a slower one (PyTorch), converts:

    python -m matlens.models.keras.backends.conversion model.keras model.xml
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras

from matlens.errors import ModelError
from matlens.system.openvino import without_telemetry
from matlens.system.untrusted import in_short

_LONGEST = 900
"""Seconds after which a conversion hangs: the largest network of keras.applications takes two minutes on two cores."""


def convert_elsewhere(model: keras.Model, file: str) -> None:
    """Write a model of Keras' own layers as .xml and .bin. Raises ModelError where that is not possible."""
    with tempfile.TemporaryDirectory(prefix="matlens-") as folder:
        written = Path(folder) / "model.keras"
        model.save(written)
        done = subprocess.run([sys.executable, "-m", "matlens.models.keras.backends.conversion", str(written), file],
                              text=True, capture_output=True, check=False, timeout=_LONGEST, stdin=subprocess.DEVNULL,
                              env={**os.environ, "KERAS_BACKEND": "openvino", "PYTHONPATH": os.pathsep.join(sys.path)})
    if done.returncode:
        raise ModelError(f"Keras' OpenVINO back end cannot convert {model.name}: "
                         f"{in_short((done.stderr.strip() or 'it ended without a word').splitlines()[-1])}")


def main(source: str, target: str) -> None:
    """Convert a .keras file of matlens' own."""
    without_telemetry()
    model = keras.models.load_model(source, compile=False, safe_mode=True)
    model.export(target, format="openvino", verbose=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
