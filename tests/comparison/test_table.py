"""What a user would lose: the right order, the right numbers, and the warning not to trust them too far."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest

from builders import CLASS_SCORE, begin_run, certain_predictions, drawn_predictions, results_of
from figure_checks import assert_nothing_cut_off
from matlens.comparison.displays import Differences, draw_differences
from matlens.comparison.literature import MINC_2500, Published, published_beside
from matlens.comparison.methods import JudgedMethod
from matlens.comparison.pairwise import pairwise
from matlens.comparison.row import FIRST_COLUMNS, standard_error
from matlens.comparison.series import SeriesComparison
from matlens.comparison.table import compare
from matlens.data.source.minc import CLASS_NAMES
from matlens.errors import ResultsError
from matlens.evaluation.inference.groups import photos_in_words
from matlens.evaluation.metrics.metric import METRICS, Metric, percent
from matlens.evaluation.results import Results
from matlens.notebook.compare_models import compare_models
from matlens.system.figures import save_figure


def results(name: str = "m", accuracy: float = 0.8, n: int = 400, **changes: Any) -> Results:
    """What a table shows of a model."""
    return results_of(name, accuracy, n, **{
        "per_class": {}, "split_hash": "0123456789abcdef", "protocol": "minc:1", "pretrained": True,
        "parameters": 1234567, "seconds": {"train": 12.25, "predict": 1.0, "predict_a_photo": 1 / 106}, **changes})


def cells(markdown: str, line: int) -> list[str]:
    return [cell.strip() for cell in markdown.splitlines()[line].strip("|").split(" | ")]


def test_the_best_model_comes_first() -> None:
    comparison = compare([results("low", 0.5), results("high", 0.9), results("middle", 0.7)])
    assert [row.model for row in comparison.rows] == ["high", "middle", "low"]


def test_models_of_one_split_stand_together() -> None:
    """A list by accuracy over several splits would be the ranking that the note below it forbids."""
    comparison = compare([results("a", 0.5), results("b", 0.9, split_hash="other"), results("c", 0.7),
                          results("d", 0.6, split_hash="other")])
    assert [row.model for row in comparison.rows] == ["b", "d", "c", "a"]
    assert "must not be ranked" in comparison.to_markdown()


def test_the_csv_can_be_computed_with() -> None:
    """Other programs read the first columns by name and by place; those of metrics of later follow."""
    one = results("a,b", 1 / 3, remarks=("first.", "second"), pretrained=None, parameters=None,
                  seconds={"predict_a_photo": 1 / 106}, roc_auc={"macro": None}, top_k={"3": 0.75},
                  intervals={"accuracy": {"low": 0.25, "high": 0.5}, "top_3": {"low": 0.5, "high": 1.0}})
    header, row = csv.reader(compare([one]).to_csv().splitlines())
    known = {
        "model": "a,b", "accuracy": "0.3333333333333333", "macro_precision": "0.3333333333333333",
        "macro_recall": "0.3333333333333333", "macro_f1": "0.3333333333333333", "prediction_photos_per_second": "106.0",
        "pretrained": "unknown", "n_test": "400", "protocol": "minc:1", "split_hash": "0123456789ab",
        "remarks": "first; second", "accuracy_low": "0.25", "accuracy_high": "0.5", "top_3": "0.75", "top_3_low": "0.5",
        "top_3_high": "1.0"}
    assert dict(zip(header, row, strict=True)) == dict.fromkeys(header, "") | known
    assert tuple(header[:len(FIRST_COLUMNS)]) == FIRST_COLUMNS == (
        "model", "accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc", "parameters",
        "training_seconds", "prediction_photos_per_second", "pretrained", "n_test", "protocol", "split_hash", "remarks",
        "accuracy_low", "accuracy_high", "macro_f1_low", "macro_f1_high", "macro_auc_low", "macro_auc_high",
        "mean_class_accuracy", "top_3", "top_5", "cohen_kappa", "log_loss", "brier", "ece", "temperature", "aurc")


@pytest.mark.parametrize("metric", METRICS.entries(), ids=list(METRICS))
def test_every_metric_has_its_columns_and_its_place_in_a_table(metric: Metric) -> None:
    """With its interval beside it; one that is in no table has neither."""
    fields: dict[str, Any] = {"intervals": {metric.interval_key or metric.name: {"low": 0.25, "high": 0.75}}}
    outer, _, inner = metric.key.partition(".")
    comparison = compare([results(**fields, **{outer: {inner: 0.625} if inner else 0.625})])
    (row,), markdown = csv.DictReader(comparison.to_csv().splitlines()), comparison.to_markdown()
    assert (metric.name in row, f"{metric.name}_low" in row) == (
        metric.table is not None, metric.table is not None and metric.has_interval)
    if metric.table:
        assert row[metric.name] == "0.625"
        assert row.get(f"{metric.name}_low") == ("0.25" if metric.has_interval else None)
        assert f"| {metric.title} |" in markdown
        assert ("62.5 %" if metric.as_percent else "0.625") in markdown


def test_the_markdown_rounds_to_what_can_be_known() -> None:
    markdown = compare([results(accuracy=0.87654, pretrained=False)]).to_markdown()
    assert cells(markdown, 0) == ["model", "accuracy", "macro precision", "macro recall", "macro F1",
                                  "macro AUC", "parameters", "training seconds",
                                  "prediction photos per second", "pretrained", "n test", "protocol",
                                  "split hash"]
    assert cells(markdown, 2) == ["m", *["**87.7 %**"] * 4, "**90.0 %**", "1,234,567", "12.2", "106.0", "no",
                                  "400", "minc:1", "0123456789ab"]


def in_groups(name: str, share: float, methods: dict[str, str]) -> Results:
    """Results of photos in 8 groups, with intervals by these methods; `roc_auc_macro` is the macro AUC's key."""
    return results(name, share, n_groups=8, design_effect=2.0, intervals={
        score: {"low": 0.5, "high": 0.95, "method": method, "confidence": 0.95} for score, method in methods.items()})


@pytest.mark.parametrize(("methods", "facts", "absent"), [
    (({"accuracy": "bca", "macro_f1": "percentile"}, {"accuracy": "bca"}), ["bootstrap", "independent groups"],
     ["Student", "those of"]),
    (({"accuracy": "t", "macro_f1": "t"}, {"accuracy": "t"}), ["Student's t"], ["bootstrap", "those of"]),
    (({"accuracy": "bca", "macro_f1": "t", "roc_auc_macro": "t"},
      {"accuracy": "bca", "macro_f1": "t", "macro_recall": "bca"}),
     ["bootstrap", "those of macro F1 and macro AUC (first) by Student's t"], []),
    (({"accuracy": "wilson"}, {"accuracy": "bca", "macro_f1": "bca"}), ["bootstrap", "accuracy (first) by Wilson"],
     ["Student"])], ids=["bootstrap", "t", "both", "all right"])
def test_the_table_says_where_its_intervals_come_from(methods, facts, absent) -> None:
    """Of few groups, or of a class with few, an interval is no bootstrap's, and must not be called one."""
    compared = compare([in_groups("first", 0.9, methods[0]), in_groups("second", 0.8, methods[1])])
    (sentence,) = [line for line in compared.to_markdown().splitlines() if line.startswith("In brackets")]
    assert all(fact in sentence for fact in facts), sentence
    assert not any(word in sentence for word in absent), sentence


def test_the_best_of_each_score_is_bold_and_equals_are_equal() -> None:
    first = results("first", 0.9001, macro_f1=0.7, roc_auc={"macro": None})
    second = results("second", 0.9002, macro_f1=0.8)  # 90.0 % as well, as far as one can see
    markdown = compare([first, second]).to_markdown()
    assert cells(markdown, 2)[:6] == ["second", "**90.0 %**", "**90.0 %**", "**90.0 %**", "**80.0 %**",
                                      "**90.0 %**"]
    assert cells(markdown, 3)[:6] == ["first", "**90.0 %**", "**90.0 %**", "**90.0 %**", "70.0 %", "n/a"]


def test_a_score_that_no_model_has_is_not_bold() -> None:
    assert "**n/a**" not in compare([results(roc_auc={})]).to_markdown()


@pytest.mark.parametrize("share, n, error", [(0.8, 400, 0.02), (0.5, 100, 0.05), (0.9, 100, 0.03), (1, 9, 0)])
def test_the_standard_error_is_the_binomial_one(share: float, n: int, error: float) -> None:
    assert standard_error(share, n) == pytest.approx(error)


def test_without_photos_there_is_no_standard_error() -> None:
    assert standard_error(0.5, 0) is None


def test_the_standard_error_stands_below_the_table_once() -> None:
    markdown = compare([results("x", 0.8, 400), results("y", 0.5, 400)]).to_markdown()
    assert "sqrt(p(1-p)/n): x ± 2.0, y ± 2.5." in markdown  # sqrt(0.16 / 400), sqrt(0.25 / 400)
    assert markdown.count("±") == 2


@pytest.mark.parametrize("other", [{"photos_hash": "f" * 64}, {"photos_hash": ""}], ids=["other photos", "unknown"])
def test_models_judged_on_different_photos_are_not_ranked(other: dict[str, Any]) -> None:
    """Val and test of one split have one split hash, and may have one number of photos; other tools record neither."""
    comparison = compare([results("x", 0.9), results("y", 0.8, **other)])
    markdown = comparison.to_markdown()
    assert not comparison.same_photos
    assert "not judged on the same photos and must not be ranked" in markdown
    assert "**90.0 %**" not in markdown
    first, second = csv.DictReader(comparison.to_csv().splitlines())
    assert first["photos_hash"] == comparison.rows[0].photos_hash[:12]
    assert second["photos_hash"] == other["photos_hash"][:12]
    assert ("matlens evaluate RUN" in markdown) == (not other["photos_hash"])


def test_the_same_photos_in_another_split_are_ranked() -> None:
    """A split's hash is also of its training photos: two runs may be judged on the same test photos all the same."""
    same = "e" * 64
    comparison = compare([results("x", 0.9, photos_hash=same), results("y", 0.8, split_hash="f", photos_hash=same)])
    assert comparison.same_photos and "photos_hash" not in comparison.columns
    assert "**90.0 %**" in comparison.to_markdown()


def test_two_models_of_one_name_are_not_tested_by_the_predictions_of_one(tmp_path: Path) -> None:
    models = [judged(tmp_path, "x", 30), judged(tmp_path, "x", 30), judged(tmp_path, "y", 20)]
    comparison = compare_models(models, tmp_path)
    assert comparison.pairs is not None and comparison.pairs.tests == ()
    assert [row.model for row in comparison.rows] == ["x", "x", "y"]
    assert "2 models have that name" in comparison.to_markdown()


def test_models_judged_on_the_same_photos_are_not_warned_about() -> None:
    assert "same photos" not in compare([results("x"), results("y")]).to_markdown()


def test_no_name_or_remark_breaks_the_table() -> None:
    markdown = compare([results("a|b\nc*d\\", remarks=("see | here\nand <b>",))]).to_markdown()
    assert markdown.splitlines()[2].startswith(r"| a\|b c\*d\\ | ")
    assert r"- a\|b c\*d\\: see \| here and \<b>" in markdown.splitlines()


def test_remarks_stand_below_the_table() -> None:
    remarked = results("x", remarks=("untrained backbone.", "no augmentation."))
    markdown = compare([remarked, results("y")]).to_markdown()
    assert markdown.endswith("Remarks:\n\n- x: untrained backbone; no augmentation\n")


def test_results_and_what_their_file_holds_give_the_same_table(tmp_path: Path) -> None:
    content = json.loads(results(remarks=("r",)).write(tmp_path / "m_results.json").read_text("utf-8"))
    assert compare([content]) == compare([results(remarks=("r",))])


def test_both_files_are_written(tmp_path: Path) -> None:
    comparison = compare_models([results("Glaß")], tmp_path / "new")
    files = {path.name: path.read_text("utf-8") for path in (tmp_path / "new").iterdir()}
    assert json.loads(files.pop("model_comparison.json")) == comparison.to_json()
    assert files == {"model_comparison.csv": comparison.to_csv(),
                     "model_comparison.md": comparison.to_markdown()}


def test_without_a_folder_they_go_where_the_guide_puts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compare_models([results()])
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {
        "model_comparison.csv", "model_comparison.md", "model_comparison.json"}


def test_nothing_to_compare_says_what_to_do() -> None:
    with pytest.raises(ResultsError, match="matlens run --data DIR"):
        compare([])


@pytest.mark.parametrize("content", [{}, {"accuracy": None}, {"accuracy": "high"}, {"accuracy": 87.0},
                                     {"accuracy": float("nan")}])
def test_results_without_an_accuracy_are_named(content: dict[str, Any]) -> None:
    with pytest.raises(ResultsError, match=r"vgg19_scratch .* matlens evaluate RUN"):
        compare([{"model_name": "vgg19_scratch", **content}])


def test_results_of_another_tool_need_only_a_name_and_an_accuracy() -> None:
    row = compare([{"model_name": "mine", "accuracy": 0.5}]).rows[0]
    assert (row.value("macro_f1"), row.pretrained, row.n_test, row.remarks) == (None, "unknown", 0, "")
    assert row.error is None


@pytest.mark.parametrize("share, shown", [(0.8634, "86.3 %"), (1, "100.0 %"), (0, "0.0 %"), (None, "n/a")])
def test_shares_are_shown_as_percentages(share: float | None, shown: str) -> None:
    assert percent(share) == shown


BETTER = Published("theirs", 0.9, "their own split", "other photos", "https://example.org/a_b")


def test_published_results_stand_below_and_are_never_bold_or_ranked() -> None:
    ours = [results("x", 0.7), results("y", 0.8)]
    comparison = compare(ours, (BETTER,))
    lines = comparison.to_markdown().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| y", "| x", "| published: theirs"]
    assert "**80.0 %**" in lines[2] and "**" not in lines[4]
    assert cells(comparison.to_markdown(), 0)[-1] == "source"
    theirs = dict(zip(cells(comparison.to_markdown(), 0), cells(comparison.to_markdown(), 4), strict=True))
    assert (theirs["accuracy"], theirs["protocol"], theirs["source"], theirs["macro F1"], theirs["n test"]) == (
        "90.0 %", "their own split", "https://example.org/a_b", "n/a", "n/a")
    assert "protocols of their own" in comparison.to_markdown() and "- published: theirs: other photos" in lines
    assert comparison.same_photos


def test_published_results_are_in_the_csv_with_their_source() -> None:
    ours, theirs = csv.DictReader(compare([results("x")], (BETTER,)).to_csv().splitlines())
    assert (ours["model"], ours["source"]) == ("x", "")
    assert {key: value for key, value in theirs.items() if value} == {
        "model": "published: theirs", "accuracy": "0.9", "protocol": "their own split", "remarks": "other photos",
        "source": "https://example.org/a_b"}


def test_without_them_there_is_no_source() -> None:
    comparison = compare([results()])
    assert "source" not in comparison.to_csv() and "source" not in comparison.to_markdown()
    assert "published" not in comparison.to_markdown()


def test_published_results_are_for_models_of_minc_2500() -> None:
    """MINC-2500 has 23 classes; one model of other classes, and the table would mix datasets."""
    minc = results("x", classes=CLASS_NAMES)
    assert len(CLASS_NAMES) == 23
    assert published_beside([minc, minc]) == MINC_2500
    assert published_beside([minc, results("y")]) == ()
    assert all(0.7 < each.accuracy < 0.9 and each.source.startswith("https://") and each.protocol for each in MINC_2500)


@pytest.mark.parametrize("classes", [CLASS_NAMES, ("a", "b")], ids=["minc", "others"])
def test_compare_shows_them_on_request(tmp_path: Path, classes: tuple[str, ...]) -> None:
    from typer.testing import CliRunner

    from matlens.cli.main import app
    from matlens.settings.schema import Settings

    run = begin_run(tmp_path / "run", Settings(models=("inception_v1",)))
    results("inception_v1", classes=classes, per_class=dict.fromkeys(classes, CLASS_SCORE)).write(
        run.paths.results_file("inception_v1"))
    done = CliRunner().invoke(app, ["compare", str(run.path), "--literature", "--out", str(tmp_path / "out")])
    plain = CliRunner().invoke(app, ["compare", str(run.path)])
    assert (done.exit_code, plain.exit_code) == (0, 0)
    on_minc = len(classes) == 23
    assert done.stdout.count("| published: ") == (len(MINC_2500) if on_minc else 0)
    assert ("published results on MINC-2500 alone" in done.stderr) is not on_minc
    assert ("source" in (tmp_path / "out" / "model_comparison.csv").read_text("utf-8")) is on_minc
    assert "published" not in plain.output


def judged(folder: Path, name: str, right: int, n: int = 40, **changes: Any) -> Results:
    """Two classes, all photos of the first; predictions saved where `compare_models` looks for them."""
    certain_predictions([0] * right + [1] * (n - right), [0] * n, 2).write(folder / f"{name}_predictions.npz")
    return results(name, right / n, n, intervals={"accuracy": {"low": 0.5, "high": 0.875}}, **changes)


def test_the_table_says_which_differences_are_real(tmp_path: Path) -> None:
    """a is right on 10 photos more than b and on one more than c: p = 2 / 2^10 and 1; b and c differ by 9."""
    models = [judged(tmp_path, "a", 35), judged(tmp_path, "b", 25), judged(tmp_path, "c", 34)]
    comparison = compare_models(models, tmp_path)
    markdown = (tmp_path / "model_comparison.md").read_text("utf-8")
    assert "**87.5 %** (50.0 to 87.5)" in markdown and "Standard error" not in markdown
    assert "- a is better than b by 25.0 points (" in markdown
    assert "- a is not significantly different from c: 2.5 points (" in markdown
    tests = {(test["first"], test["second"]): test for test in
             json.loads((tmp_path / "model_comparison.json").read_text("utf-8"))["pairwise"]}
    assert {pair: test["is_real"] for pair, test in tests.items()} == {
        ("a", "c"): False, ("a", "b"): True, ("c", "b"): True}
    assert tests["a", "b"]["p_value"] == pytest.approx(2 / 2**10)
    assert tests["a", "b"]["p_value"] < tests["a", "b"]["p_adjusted"] < 3 * math.erfc(9 / math.sqrt(2 * 10))
    row = next(line for line in markdown.splitlines() if line.startswith("| a | c |"))
    real, needed = row.split(" | ")[-2:]
    assert real == "no" and needed.startswith(f"{tests['a', 'c']['photos_needed']:,} ")
    assert comparison.sentences[0].startswith("a is not significantly different from c")


def test_what_cannot_be_compared_photo_by_photo_is_said(tmp_path: Path) -> None:
    """No predictions, predictions of another training, damaged ones, another split: nothing is passed over."""
    models = [judged(tmp_path, name, 30, **more) for name, more in (
        ("fine", {}), ("gone", {}), ("other", {}), ("damaged", {}), ("split", {"photos_hash": "f" * 64}))]
    (tmp_path / "gone_predictions.npz").unlink()
    (tmp_path / "damaged_predictions.npz").write_bytes(b"PK")
    judged(tmp_path, "other", 29)
    notes = "\n".join(compare_models(models, tmp_path).to_json()["not_compared"])
    assert "gone cannot be compared photo by photo: its predictions (gone_predictions.npz) are not there" in notes
    assert "other_predictions.npz) do not give the accuracy of its results" in notes
    assert "damaged cannot be compared" in notes
    assert "fine and split were not judged on the same photos of the same split" in notes
    assert "split were not judged" in (tmp_path / "model_comparison.md").read_text("utf-8")


def test_what_accuracy_does_not_say_stands_in_a_table_of_its_own() -> None:
    more = results("x", mean_class_accuracy=0.75, top_k={"3": 0.95, "5": None}, log_loss=0.5, brier=0.25,
                   cohen_kappa=0.7, calibration={"ece": 0.031, "temperature": 1.4}, coverage={"aurc": 0.0123})
    lines = compare([more, results("y", 0.5)]).to_markdown().splitlines()
    start = lines.index("| model | mean class accuracy | top-3 accuracy | Cohen's kappa | log loss | Brier score | ECE "
                        "| temperature | AURC |")
    assert "(of log loss, Brier score, ECE and AURC less is better; temperature: " in lines[start - 2]
    assert lines[start + 2:start + 4] == [
        "| x | 75.0 % | 95.0 % | 0.700 | 0.500 | 0.250 | 3.1 % | 1.400 | 0.012 |",
        "| y | n/a | n/a | n/a | n/a | n/a | n/a | n/a | n/a |"]


def test_another_tools_nan_does_not_break_the_json() -> None:
    assert compare([{"model_name": "m", "accuracy": 0.5, "macro_f1": math.nan}]).to_json()["models"][0][
        "macro_f1"] is None


@pytest.mark.parametrize("models", [2, 4, 9])
def test_no_label_of_the_differences_is_cut_off(models: int) -> None:
    names = [f"a_model_with_a_name_that_is_longer_than_most_{i}" for i in range(models)]
    found = {name: drawn_predictions(60, 2, seed, 0, [0] * 60) for seed, name in enumerate(names)}
    display = Differences.from_pairs(pairwise(found))
    assert (len(display.tests), display.left_out) == {2: (1, 0), 4: (6, 0), 9: (8, 28)}[models]
    figure = save_figure(display.draw(), None)
    assert_nothing_cut_off(figure)
    assert len(figure.axes[0].get_yticklabels()) == len(display.tests)


def test_the_picture_goes_where_there_is_nothing_to_compare_any_more(tmp_path: Path) -> None:
    two = compare_models([judged(tmp_path, "a", 35), judged(tmp_path, "b", 25)], tmp_path)
    draw_differences(two, tmp_path, svg=True)
    assert (tmp_path / "model_comparison.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "model_comparison.svg").read_bytes()
    draw_differences(compare_models([judged(tmp_path, "a", 35)], tmp_path), tmp_path)
    assert not list(tmp_path.glob("model_comparison.[ps][nv]g"))


@pytest.mark.parametrize(("right", "word"), [((60, 90), "does not confirm"), ((90, 60), "part confirms"),
                                             ((70, 72), "neither")])
def test_the_test_part_says_whether_it_confirms_a_choice_on_validation(right: tuple[int, int], word: str) -> None:
    """The chosen model is right on so many of 100 test photos, and the other on so many."""
    answers = {name: certain_predictions([0] * hits + [1] * (100 - hits), [0] * 100, 2)
               for name, hits in zip(("chosen", "other"), right, strict=True)}
    models = [results(name, hits / 100, 100) for name, hits in zip(answers, right, strict=True)]
    validation = {name: certain_predictions([0] * hits + [1] * (20 - hits), [0] * 20, 2)
                  for name, hits in (("chosen", 18), ("other", 15))}
    comparison = compare(models, predictions=answers, choose_on="val", validation=validation)
    assert comparison.choice and comparison.choice.model == "chosen"
    sentence = comparison.choice.sentence()
    assert word in sentence and all(percent(hits / 100) in sentence for hits in right)
    assert comparison.to_json()["choice"]["on_test"] in sentence
    untested = compare(models, choose_on="val", validation=validation).choice
    assert untested and "not tested" in untested.sentence()


def test_a_remark_that_differs_in_the_design_effect_stands_once_in_a_series() -> None:
    """Two seeds on the same 60 photos of 12 groups, whose accuracies have other design effects."""
    of_seeds = {f"seed {seed}": results("m", 0.8, 60, n_groups=12, design_effect=effect, remarks=(
        f"The test part has {photos_in_words(60, 12, effect)}.",)) for seed, effect in ((1, 2.1), (2, 3.4))}
    series = SeriesComparison.of("seeds", "minc:1", [JudgedMethod("m", of_seeds, {}, (), 0.2)], pending="Later.")
    (remark,) = series.rows[0].remarks
    assert remark.endswith("12 independent groups") and "design effect" not in series.to_markdown()
