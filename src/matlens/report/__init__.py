"""One self-contained HTML page that shows a whole run.

`matlens.report` is this room, and in Python also what writes a run's page: `matlens.report("runs/demo")`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """This module, which is called as `matlens.report.inline.report` is."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        from matlens.report.inline import report

        return report(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
