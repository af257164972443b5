"""`matlens serve`: a page and a REST interface over trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.frame.places import run_folder


def serve(runs: Annotated[list[Path], typer.Argument(
              help="Folders of runs (last is the newest), or .artifact folders.", metavar="RUN", parser=run_folder,
              show_default=False)],
          port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")] = 8000,
          host: Annotated[str, typer.Option(help="The address to listen at; another than this machine's own needs "
                                            "--token.")] = "127.0.0.1",
          token: Annotated[str | None, typer.Option(envvar="MATLENS_TOKEN", help="What requests must state: "
                                                    "Authorization: Bearer TOKEN.", show_default=False)] = None,
          max_upload: Annotated[int, typer.Option(min=1, max=4096, help="Megabytes of a request.")] = 64,
          max_photo: Annotated[int, typer.Option(min=1, max=1024, help="Megabytes of a photo.")] = 32,
          max_pixels: Annotated[int, typer.Option(min=1, max=128, help="Megapixels of a photo.")] = 50,
          max_photos: Annotated[int, typer.Option(min=1, max=10_000, help="Photos in a request.")] = 100,
          queue: Annotated[int, typer.Option(min=1, max=100_000, help="Photos that may wait; a request beyond gets "
                                             "status 429 with Retry-After.")] = 1024,
          timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds for a request, and for its upload, "
                                                 "to arrive.")] = 30,
          ) -> None:
    """Serve a page and a REST interface that say what photos show, by the artifacts of runs.

    No framework is loaded, and nothing that is uploaded touches the disk. Ctrl-C ends it.
    """
    from matlens.serving.frame import address_of, refuse_without_server
    from matlens.serving.limits import ServerLimits
    from matlens.system.console import Reporter, echo

    refuse_without_server()
    from matlens.serving.app import make_app
    from matlens.serving.engine import AnsweringEngine
    from matlens.serving.metrics import Metrics
    from matlens.serving.models import open_models
    from matlens.serving.server import listening, refuse_open_door
    from matlens.serving.server import serve as serve_app

    reporter = Reporter()
    refuse_open_door(host, token, tuple(runs))
    limits = ServerLimits(max_upload << 20, max_photo << 20, max_pixels * 1_000_000, max_photos, queue, timeout,
                    held_bytes=max(512, 2 * max_upload) << 20)
    models = open_models(runs, reporter.warn)
    bound = listening(host, port)
    engine = AnsweringEngine(models, limits, Metrics())
    address = address_of(host, port)

    def ready() -> None:
        echo(f"{', '.join(model.name for model in models)}: {address}  (REST: {address}/docs)")

    serve_app(make_app(engine, token), bound, engine.is_ready, ready, timeout)
