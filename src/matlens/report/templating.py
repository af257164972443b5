"""Pages from templates: every name that comes from a user's file is escaped."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matlens.system.files import write_text


def write_page(path: Path, template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> Path:
    """Fill a template of this folder and write the page, whole or not at all.

    A template may include `style.css`. In it `script(name)` is a script of this folder as it is, and `hash_of(text)`
    what lets this script run under the page's Content-Security-Policy: no other script does.
    """
    import jinja2
    from markupsafe import Markup

    folder = importlib.resources.files("matlens.report") / "templates"

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(read))
    environment.filters.update(filters)
    environment.globals.update(script=lambda name: Markup(read(name)), hash_of=hash_of)
    html = environment.get_template(template).render(**values)
    # A file name that is no UTF-8 comes as a lone surrogate, which no file can hold.
    return write_text(path, html.lstrip().encode("utf-8", "replace").decode("utf-8"))


def hash_of(text: str) -> str:
    """Compute the source `sha256-...` of Content-Security-Policy (level 3) for an element of this content."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
