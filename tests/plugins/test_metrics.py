"""A metric that a throw-away file declares is in results, tables, page and commands, and older runs are still shown."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from sklearn.metrics import matthews_corrcoef

from matlens.evaluation.predictions import Predictions
from matlens.runs.run import Run
from report.pages import Page
from small_run import NAMES

DECLARATION = """
from matlens.evaluation.metrics.metric import METRICS, Metric


def matthews(probabilities, labels):
    from sklearn.metrics import matthews_corrcoef

    return matthews_corrcoef(labels, probabilities.argmax(axis=1))


METRICS.register(Metric("mcc", "Matthews correlation", "correlation of truth and answer", of=matthews, bounds=(-1, 1),
                        better="high", table="further", source="Matthews 1975"))
"""


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Run:
    """A run of two models that were judged before the plug-in was there."""
    return Run.open(Path(shutil.copytree(small_run, tmp_path / "run")))


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that declares the metric, named by MATLENS_PLUGINS."""
    file = tmp_path / "mcc.py"
    file.write_text(DECLARATION, "utf-8")
    monkeypatch.setenv("MATLENS_PLUGINS", str(file))
    return file


def row_of(csv_text: str, model: str) -> dict[str, str]:
    return next(row for row in csv.DictReader(csv_text.splitlines()) if row["model"] == model)


def cell(markdown: str, model: str, column: str) -> str:
    """What stands in a column of the table that has it."""
    lines = [[word.strip() for word in line.strip("|").split("|")] for line in markdown.splitlines()]
    head = next(number for number, line in enumerate(lines) if column in line)
    row = next(line for line in lines[head:] if line[0] == model)
    return row[lines[head].index(column)]


@pytest.mark.slow
@pytest.mark.usefixtures("plugin")
def test_a_metric_is_seen_from_results_to_the_page(run: Run, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first model is judged again, with the metric; the second was judged before, and is shown beside it."""
    done = cli("evaluate", run.path, "--models", NAMES[0])
    assert done.returncode == 0, done.stderr
    score = json.loads(run.paths.results_file(NAMES[0]).read_text("utf-8"))["scores"]["mcc"]
    saved = Predictions.read(run.paths.predictions_file(NAMES[0]))
    assert score["value"] == pytest.approx(matthews_corrcoef(saved.labels, saved.predicted))
    assert score["low"] < score["value"] < score["high"]
    reports = run.paths.reports
    new, old = (row_of((reports / "model_comparison.csv").read_text("utf-8"), name) for name in NAMES)
    assert [float(new[column]) for column in ("mcc", "mcc_low", "mcc_high")] == list(score.values())
    assert (old["mcc"], old["mcc_low"]) == ("", "") and old["accuracy"]
    shown = [f"{score['value']:.3f}", "n/a"]
    markdown = (reports / "model_comparison.md").read_text("utf-8")
    assert [cell(markdown, name, "Matthews correlation") for name in NAMES] == shown
    models = {row["model"]: row for row in json.loads((reports / "model_comparison.json").read_text("utf-8"))["models"]}
    assert [models[name]["mcc"] for name in NAMES] == [score["value"], None]
    text = Page(run.path / "report.html").text
    assert (f"Matthews correlation {score['value']:.3f} {score['low']:.3f} to {score['high']:.3f} correlation of truth "
            "and answer; 1 is best") in text
    assert text.count("Matthews correlation") == 1
    assert text.count("Cohen's kappa") == len(NAMES)
    compared = cli("compare", run.path)
    assert [cell(compared.stdout, name, "Matthews correlation") for name in NAMES] == shown
    monkeypatch.delenv("MATLENS_PLUGINS")
    without = cli("compare", run.path)
    assert without.returncode == 0 and NAMES[0] in without.stdout and "Matthews" not in without.stdout


@pytest.mark.parametrize(("text", "named"), [
    (DECLARATION + DECLARATION, "mcc"), (DECLARATION.replace('"mcc", "M', '"accuracy", "M'), "accuracy"),
    (DECLARATION.replace("of=matthews, ", ""), "mcc"), (DECLARATION.replace("(-1, 1)", "(1, -1)"), "mcc")],
    ids=["declared twice", "a name that is taken", "no way to compute it", "bounds upside down"])
def test_a_declaration_that_cannot_be_is_refused_by_file_and_name(run: Run, plugin: Path, cli, text: str,
                                                                  named: str) -> None:
    plugin.write_text(text, "utf-8")
    done = cli("compare", run.path)
    assert done.returncode == 2
    error = " ".join(done.stderr.split())
    assert "mcc.py" in error and f"'{named}'" in error and "MATLENS_PLUGINS" in error
