"""How the page of a run puts numbers in words: the filters of its templates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from matlens.comparison.paired_test import p_cell, points
from matlens.evaluation.metrics.metric import UNKNOWN, Metric
from matlens.evaluation.metrics.metric import percent as plain_percent

Ends = tuple[float, float]

_NO_BREAK = "\u00a0"

_OPTION = re.compile(r"--[a-z][a-z0-9-]*")


def percent(share: float | None) -> str:
    """Write 0.8634 as '86.3 %', which no line breaks."""
    return plain_percent(share).replace(" ", _NO_BREAK)


def score_value(value: float | None, metric: Metric) -> str:
    """Write a score as its metric says: '86.3 %' or '0.512'."""
    return metric.in_words(value).replace(" ", _NO_BREAK)


def score_ends(ends: Ends | None, metric: Metric) -> str:
    """Write the ends of a score's interval: '82.9 to 89.6 %' or '0.498 to 0.526'; nothing where it is unknown."""
    return metric.ends_in_words(ends) + f"{_NO_BREAK}%" * bool(ends and metric.as_percent)


def breakable(name: str) -> str:
    """Let a name be broken behind an underscore or a slash, where a line is too short for it."""
    from markupsafe import Markup, escape

    return escape(name).replace("_", Markup("_<wbr>")).replace("/", Markup("/<wbr>"))


def whole_options(sentence: str) -> str:
    """Keep the names of options in a sentence on one line: a browser would break them behind a hyphen."""
    from markupsafe import Markup, escape

    return Markup(_OPTION.sub(r'<span class="option">\g<0></span>', str(escape(sentence))))


def caveats(remarks: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, str]]:
    """Say once what was remarked on all of several models, first; then what each one has besides.

    remarks: the name of each model, and what was remarked on it.
    """
    by_model = [(model, [remark.rstrip(".") for remark in of_model if remark]) for model, of_model in remarks]
    several = len(by_model) > 1
    shared = [remark for remark in by_model[0][1] if all(remark in others for _, others in by_model)] if several else []
    own = [(model, [remark for remark in of_model if remark not in shared]) for model, of_model in by_model]
    return [(who, "; ".join(words)) for who, words in [("All models", shared), *own] if words]


def percents(ends: Ends | None) -> str:
    """Write '82.9 to 89.6 %'; nothing where no interval is known."""
    return f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}{_NO_BREAK}%" if ends else ""


def ends(interval: Mapping[str, float] | None) -> Ends | None:
    """Return (low, high) of an interval of results, where there is one."""
    return (interval["low"], interval["high"]) if interval else None


def duration(seconds: float | None) -> str:
    """Write seconds as 4.2 s, 48 s, 3 min 12 s or 2 h 05 min."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def size(count: float | None) -> str:
    """Write bytes as 512 B, 3.4 kB, 94.6 MB or 1.2 GB (powers of 1000)."""
    if count is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def millions(count: int | None) -> str:
    """Write 2,916,000 as 2.9 M."""
    return UNKNOWN if count is None else f"{count / 1e6:,.1f} M"


def number(value: float | None) -> str:
    """Write a number with commas, and one digit behind the point if it is no whole number."""
    return UNKNOWN if value is None else f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def three(value: float | None) -> str:
    """Write a number with three digits behind the point."""
    return UNKNOWN if value is None else f"{value:.3f}"


def text_of(value: Any) -> str:
    """Write a value of a JSON file as it stands there; a text without its quotation marks."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType({
    "percent": percent, "percents": percents, "duration": duration, "size": size, "millions": millions,
    "number": number, "three": three, "p_value": p_cell, "ends": ends, "points": points,
    "breakable": breakable, "whole_options": whole_options, "score_value": score_value, "score_ends": score_ends})
