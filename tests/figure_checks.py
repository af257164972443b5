"""What tests of pictures share: class names that are hard on a layout, and a look at what was drawn."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text

LONG = ["Стекло_прозрачное_бутылочное_зелёное_окно", "Glaß", "polished_stone_of_a_kitchen_worktop_$dark$",
        r"_$\frac$", "木", "x" * 60]
NAMES = {
    "2": ["no", "yes"],
    "6": ["cardboard", "glass", "metal", "paper", "plastic", "trash"],
    "6 long": LONG,
    "23": [f"{name}_{i}" for i, name in enumerate((LONG * 4)[:23])],
    "100": [f"a_material_with_a_name_of_forty_letters_{i}" for i in range(100)],
}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]


def assert_nothing_cut_off(figure: Figure) -> None:
    figure.canvas.draw()
    canvas = figure.bbox
    undrawn = set()  # ticks beyond the limits exist and are visible, but are not drawn
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        undrawn |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text() and text not in undrawn:
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= canvas.x1 + 1 and box.y1 <= canvas.y1 + 1, text
