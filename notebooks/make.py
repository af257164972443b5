"""Write both notebooks from `source.py`, without outputs: `make notebooks`."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

HERE = Path(__file__).parent
NOTEBOOKS = {"kaggle": HERE / "classification_kaggle.ipynb", "local": HERE / "classification.ipynb"}


def notebook(kind: str) -> str:
    """The text of one notebook: `kaggle` or `local`."""
    cells = []
    for head, body in re.findall(r"^# %%(.*)\n((?:(?!# %%).*\n?)*)", (HERE / "source.py").read_text(), re.MULTILINE):
        marks = set(re.findall(r"\[(\w+)\]", head))
        if marks & NOTEBOOKS.keys() and kind not in marks:
            continue
        text = body.strip("\n")
        if "markdown" in marks:
            cell = nbformat.v4.new_markdown_cell(re.sub(r"^# ?", "", text, flags=re.MULTILINE))
        else:
            cell = nbformat.v4.new_code_cell(re.sub(r"^# (%\w)", r"\1", text, flags=re.MULTILINE))
        cell["id"] = f"cell-{len(cells):02d}"
        cells.append(cell)
    made = nbformat.v4.new_notebook(cells=cells, metadata={
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}})
    return nbformat.writes(made) + "\n"


if __name__ == "__main__":
    for each, path in NOTEBOOKS.items():
        path.write_text(notebook(each))
        print(path)
