"""Rows that start `matlens run` as a user does, and read what it leaves."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gpu_rows import plain_loops
from gpu_rows.card import Utilisation
from gpu_rows.table import Line
from gpu_rows.work import Work, framework_device, keras_waits, median, say, seconds_of, spread
from matlens.models.registry import default_models
from matlens.runs.paths import RunPaths
from matlens.system.files import read_json

EPOCH = re.compile(r"epoch (\d+): .*?([\d.,]+) photos/s")
"""An epoch in the output of `matlens run`."""

Job = plain_loops.Job


@dataclass(frozen=True)
class Ran:
    """A run that has ended. lines: (time.perf_counter(), text) of its output."""

    paths: RunPaths
    code: int
    lines: list[tuple[float, str]]
    busy: Utilisation

    @property
    def rates(self) -> list[float]:
        """Photos/s of the epochs after the first, or of the first alone."""
        seen = [float(match[2].replace(",", "")) for _, text in self.lines if (match := EPOCH.search(text))]
        return seen[1:] or seen

    @property
    def utilisation(self) -> str:
        """Describe how busy the card was from the first line of an epoch to the last, and over the whole run."""
        epochs = [when for when, text in self.lines if EPOCH.search(text)]
        words = []
        for what, span in (("epochs", epochs), ("whole run", [when for when, _ in self.lines])):
            if len(span) > 1 and (found := self.busy.between(span[0], span[-1])):
                words.append(f"{what}: GPU busy {found[0]:.0f} % on average, at most {found[1]:.0f} %")
        return "; ".join(words) or "GPU utilisation not known"

    def why(self, model: str) -> str:
        """Return why the run did not finish a model, as run.json has it, else what it said last of it."""
        recorded = read_json(self.paths.run_file).get("failures", {}) if self.paths.run_file.exists() else {}
        if model in recorded:
            return str(recorded[model])
        said = [text for _, text in self.lines if f"{model} failed" in text]
        log = self.paths.log_file(model)
        logged = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return next((line.strip() for line in [*said[::-1], *logged[::-1]] if line.strip()),
                    f"it ended with code {self.code} (-9: out of the row's time)")


def run(work: Work, name: str, *options: str) -> Ran:
    """Start `matlens run` in a process of its own, and print what it prints."""
    folder, lines = work.folder / "runs" / name, []
    command = [sys.executable, "-m", "matlens", "run", "--out", str(folder), "--img-size", str(work.side),
               "--cache-dir", str(work.folder / "cache"), "--weights-dir", str(work.weights), *options]
    with Utilisation() as busy, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                                 errors="replace", env=os.environ | {"COLUMNS": "400"}) as child:
        timer = threading.Timer(max(work.left, 1), child.kill)  # so that what is done is told
        timer.start()
        assert child.stdout is not None
        for text in child.stdout:
            lines.append((time.perf_counter(), text.rstrip()))
            say(text.rstrip())
        timer.cancel()
    return Ran(RunPaths(folder), child.returncode, lines, busy)


def kept(work: Work, recipe: str) -> None:
    """Run all four models by a recipe, small, from pretrained weights where a model has them; count what is kept."""
    models = default_models()
    started = time.perf_counter()
    ran = run(work, f"kept-{recipe}", "--data", str(work.few), "--models", ",".join(models), "--recipe", recipe,
              "--epochs", "2", "--weights", "imagenet")
    seconds = time.perf_counter() - started
    whole, notes = 0, []
    for model in models:
        paths = ran.paths
        complete = all(place.exists() for place in (paths.training_file(model), paths.model_file(model),
                                                    paths.artifact(model), paths.results_file(model)))
        whole += complete
        if complete:
            record = read_json(paths.training_file(model))
            parity, mark = record.get("parity"), read_json(paths.artifact(model) / "artifact.json").get("unconfirmed")
            notes.append(f"{model}: {record['arithmetic']} on {record.get('device', 'a device that is not recorded')}, "
                         + (f"parity {parity:.1g}" if parity is not None else "no parity")
                         + (f", its artifact is MARKED: {mark}" if mark else ""))
        else:
            notes.append(f"{model}: LOST: {ran.why(model)[-300:]}")
    Line(f"{recipe}: models kept of {len(models)}, `matlens run`", whole, "models", at_least=len(models),
         note=f"{seconds:.0f} s; " + "; ".join(notes)).tell()


def _epochs(work: Work, model: str, batch: int, peers: Sequence[tuple[str, float]], at_least: float,
            times: float | None) -> None:
    """Tell of the epochs of one run, against each peer in turn."""
    ran = run(work, f"epochs-{model}-{batch}", "--data", str(work.many), "--models", model, "--weights", "none",
              "--batch-size", str(batch), "--epochs", "2" if work.quick else "4")
    what = f"{model}, an epoch inside `run`, batch {batch}"
    if not ran.rates:
        Line(what, None, "photos/s", at_least=at_least, note=ran.why(model)[-300:]).tell()
        return
    steps = f"epochs after the first; {ran.utilisation}"
    is_kept = ran.paths.training_file(model).exists()
    note = spread(ran.rates, steps) + ("" if is_kept else f"; LOST: {ran.why(model)[-200:]}")
    for name, rate in peers or [("", 0.0)]:
        Line(what, median(ran.rates), "photos/s", name, rate or None, at_least=at_least, ratio_at_least=times,
             note=note).tell()


def googlenet(work: Work, batch: str) -> None:
    """GoogLeNet's epochs against the bare steps of two plain loops."""
    _epochs(work, "inception_v1", int(batch), _torch_peers(work, int(batch)), 5000, 2)


def vgg19(work: Work) -> None:
    """VGG19's epochs against Keras' own `fit`."""
    rate = _fit_rate(work, 64)
    _free()
    _epochs(work, "vgg19_scratch", 64, [("Keras' fit", rate)], 2000, None)


def _fit_rate(work: Work, batch: int) -> float:
    """Measure Keras' `fit`, photos/s of the better of two epochs after one that is not counted."""
    steps = 2 if work.quick else 10
    fit, wait = plain_loops.keras_vgg19(batch, work.side, steps), keras_waits()
    fit()
    rate = batch * steps / min(seconds_of(fit, wait) for _ in range(1 if work.quick else 2))
    say(f"Keras' fit: {rate:,.0f} photos/s")
    return rate


def _torch_peers(work: Work, batch: int) -> list[tuple[str, float]]:
    """Measure plain PyTorch's steps, photos/s, in float32 with TF32 and in bfloat16."""
    device, steps = framework_device(), 2 if work.quick else 20
    found = []
    for name, half in (("plain PyTorch, TF32", False), ("plain PyTorch, bfloat16 channels-last", True)):
        seconds = _step_seconds(plain_loops.torch_googlenet(batch, work.side, device, half=half), steps, device)
        found.append((name, batch / seconds))
        say(f"{name}: {found[-1][1]:,.0f} photos/s")
    _free()
    return found


def _step_seconds(step: Job, steps: int, device: str) -> float:
    """Return the seconds of one step, as the mean of many in a row, after some that are not counted."""
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def several() -> None:
        for _ in range(steps):
            step()

    for _ in range(1 if device == "cpu" else 5):
        step()
    return min(seconds_of(several, wait) for _ in range(1 if device == "cpu" else 3)) / steps


def _free() -> None:
    """Give back the memory that a peer held on the card, which the run beside it needs."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
