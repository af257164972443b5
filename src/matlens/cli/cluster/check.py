"""`matlens cluster check`: what is wrong with a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.frame.places import path
from matlens.cli.options import CacheDir, Late, option_of

Cluster = Annotated[str | None, Late(lambda: option_of("on", "ray"))]


def check(on: Cluster = None,
          data: Annotated[Path | None, typer.Option("--data", "-d", help="The photos, if nodes are to see them.",
                                                    show_default=False)] = None,
          out: Annotated[Path, typer.Option("--out", "-o", help="The folder in which runs are to lie.",
                                            parser=path)] = Path("runs"),
          cache_dir: CacheDir = None,
          json: Annotated[bool, typer.Option("--json", help="Print what each node says as JSON.",
                                             show_default=False)] = False) -> None:
    """Say what each node of a Ray cluster has, and what keeps it from training for this machine.

    Nodes must run the same Python and the same matlens, and see photos, runs and cache at the same paths. It exits with
    2 where one does not.

    Example: matlens cluster check --on ray://head:10001 --data /shared/photos
    """
    from matlens.jobs.cluster.check import check_cluster
    from matlens.settings.schema import Settings

    settings = Settings.load(options={"on": on or "ray", "cache_dir": cache_dir})
    check_cluster(settings, data, out, as_json=json)
