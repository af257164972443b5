"""The style of all pictures: colours, names, and figures that need no pyplot."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matlens.system.console import tell_once
from matlens.system.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT = "#222222", "#5c5c5c", "#bdbdbd"
COLORS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133",
          "#56b4e9")  # seaborn's "colorblind"
TITLE_WIDTH = 6.8  # inches
CHARACTER = 0.6  # the width of a letter by its font size
# matplotlib's own DejaVu Sans has no CJK characters, so these fonts are used if they are installed.
FALLBACK_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "Microsoft YaHei")

_NO_GLYPH = re.compile(r"Glyph (\d+) .* missing from")
_NAMED = 8
"""How many missing letters are named."""


def elided(name: str, length: int = 24) -> str:
    """Shorten a name in the middle, where names differ least, and replace unprintable characters by question marks."""
    shown = "".join(c if c.isprintable() else "?" for c in unicodedata.normalize("NFC", name))
    return shown if len(shown) <= length else f"{shown[:length // 2]}…{shown[length // 2 + 1 - length:]}"


def text_width(text: str, font: float) -> float:
    """Estimate how long a text is, in inches, in a font of so many points. CJK characters count twice."""
    letters = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
    return CHARACTER * font * letters / 72


def class_labels(names: Sequence[str]) -> list[str]:
    """Shorten class names, and add the class number to names that become equal."""
    short = [elided(name) for name in names]
    count = Counter(short)
    return [f"{text} #{i}" if count[text] > 1 else text for i, text in enumerate(short)]


def _notebook_figure() -> type[Figure]:
    """Make a class of matplotlib's Figure that a notebook shows without pyplot."""
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            png = io.BytesIO()
            self.savefig(png, format="png", dpi=100, bbox_inches="tight")
            return png.getvalue()

    return NotebookFigure


def new_figure(width: float, height: float, title: str, model_name: str, *, placed: bool = False) -> Figure:
    """Make an empty figure in this style.

    width, height: in inches; a long title widens the figure. placed: whether its axes get their places from the
    caller, which spares a layout several drawings.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _notebook_figure()(figsize=(max(width, TITLE_WIDTH), height), layout=None if placed else "constrained",
                                 facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}: {elided(model_name)}" if model_name else title, x=0.012, ha="left",
                    fontsize=12, fontweight="bold", color=INK, parse_math=False)
    return figure


def style_axes(axes: Axes, heading: str, x: str, y: str = "", grid: bool = True) -> None:
    """Give axes a heading, labels, and this style."""
    axes.set_title(heading, loc="left", fontsize=10, color=MUTED)
    axes.set_xlabel(x, fontsize=10, color=INK)
    axes.set_ylabel(y, fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=9, colors=INK, length=3)
    if grid:
        axes.grid(color="#e3e3e3", linewidth=0.8)


def save_figure(figure: Figure, save_path: Path | str | None) -> Figure:
    """Set fonts and layout, and write the file if a path is given. Returns the figure."""
    from matplotlib.font_manager import fontManager
    from matplotlib.text import Text

    installed = {font.name for font in fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]
    for text in figure.findobj(lambda artist: isinstance(artist, Text)):
        text.set(fontfamily=families)
    with _missing_letters_told():
        return _saved(figure, save_path)


@contextmanager
def _missing_letters_told() -> Iterator[None]:
    """Say once, in one sentence, which letters no font here has, in place of matplotlib's warnings for each picture."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    letters = set()
    for warning in caught:
        if (missing := _NO_GLYPH.match(str(warning.message))) is not None:
            letters.add(chr(int(missing[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if letters:
        tell_once(f"No font here has the letters {' '.join(sorted(letters)[:_NAMED])}; pictures show boxes in their "
                  f"place. Install one that has them, such as {FALLBACK_FONTS[0]}.")


def _saved(figure: Figure, save_path: Path | str | None) -> Figure:
    import matplotlib as mpl

    layout = figure.get_layout_engine()
    if layout is not None and not figure.axes:  # words alone: there is nothing to lay out
        figure.set_layout_engine(layout := None)
    if layout is not None:
        for _ in range(2):  # square axes find their place only in the second pass
            layout.execute(figure)
    if save_path is not None:
        path = Path(save_path)
        form = path.suffix[1:] or "png"
        if layout is not None:  # it is final; matplotlib would run it twice more
            figure.set_layout_engine("none")
            if form == "png":  # and draw the figure once for nothing, which only moves letters of an SVG
                with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
                    figure.set_layout_engine(None)
        options_of: dict[str, dict[str, Any]] = {"png": {"pil_kwargs": {"compress_level": 3}},
                                                 "svg": {"metadata": {"Date": None}}}
        with whole_file(path) as partial:
            figure.savefig(partial, format=form, dpi=150, bbox_inches=figure.get_tightbbox().padded(0.1),
                           **options_of.get(form, {}))
    return figure
