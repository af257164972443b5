"""Pages from templates: every name that comes from a user's file is escaped."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matlens.files import write_text


def write_page(path: Path, template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> Path:
    """Fill a template of this folder (which may include `style.css`) and write the page, whole or not at all."""
    import jinja2

    folder = importlib.resources.files("matlens.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")))
    environment.filters.update(filters)
    html = environment.get_template(template).render(**values)
    # A file name that is no UTF-8 comes as a lone surrogate, which no file can hold.
    return write_text(path, html.lstrip().encode("utf-8", "replace").decode("utf-8"))
