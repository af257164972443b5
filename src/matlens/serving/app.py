"""The application: the REST interface and the page, over an engine that answers photos (ASGI, by Starlette)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from matlens import __version__
from matlens.errors import SettingsError
from matlens.jobs.answers import AnswerOptions
from matlens.mapping.material_map import MapOptions
from matlens.mapping.sizes import scales_of
from matlens.serving.endpoints import ENDPOINTS, docs_page, openapi
from matlens.serving.engine import AnsweringEngine
from matlens.serving.frame import guarded, page_files
from matlens.serving.limits import Ledger, Refused
from matlens.serving.models import ServedModel
from matlens.serving.security import App
from matlens.serving.uploads import Upload, body_of, photos_in

if TYPE_CHECKING:
    from starlette.requests import Request

FORMAT = 1
"""Of answers to photos; a later version that changes what is there has a higher one, and another path."""


def make_app(engine: AnsweringEngine, token: str | None = None) -> App:
    """Make the application. token: what protected paths ask for; None answers to this machine alone."""
    handlers = _Handlers(engine)
    answering: dict[str, Callable[[Request], Awaitable[Any]]] = {
        "/v1/predict": handlers.predict, "/v1/explain": handlers.explain, "/v1/models": handlers.models,
        "/v1/nearest": handlers.nearest, "/v1/map": handlers.map,
        "/metrics": handlers.metrics, "/healthz": handlers.healthz, "/readyz": handlers.readyz,
        "/openapi.json": handlers.openapi, "/docs": handlers.docs}

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        engine.begin()
        yield
        await engine.stop()

    return guarded([(endpoint.path, endpoint.method, answering[endpoint.path]) for endpoint in ENDPOINTS],
                   page_files("matlens.serving", "serve"),
                   frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.protected), token, engine.metrics,
                   lifespan=lifespan, see="/docs says what there is.")


class _Handlers:
    """Answers the requests to each path."""

    def __init__(self, engine: AnsweringEngine) -> None:
        self._engine, self._ledger = engine, Ledger(engine.limits.held_bytes)

    async def predict(self, request: Request) -> Any:
        """Answer photos."""
        from starlette.responses import JSONResponse

        started = time.perf_counter()
        question, chosen = _question(request), self._chosen(request)
        with self._ledger.account() as account:
            uploads = await self._uploads(request, account)
            photos = await self._engine.answer_all(uploads, chosen, question)
        answer = {"format": FORMAT, "photos": photos, "seconds": round(time.perf_counter() - started, 4)}
        is_form = request.headers.get("content-type", "").lower().startswith("multipart/")
        if not is_form and all("error" in photo for photo in photos):
            answer["error"] = "No photo can be read: " + "; ".join(
                f"{photo['name']}: {photo['error']}" for photo in photos[:3]) + "."
        return JSONResponse(answer, 422 if "error" in answer else 200)

    async def explain(self, request: Request) -> Any:
        """Draw the heat maps of one photo."""
        from starlette.responses import JSONResponse

        chosen = self._chosen(request)
        with self._ledger.account() as account:
            upload = await self._one_upload(request, account)
            explained = await self._engine.explain(upload, chosen, request.query_params.get("class"))
        return JSONResponse({"format": FORMAT, "name": upload.name, "explained": explained})

    async def nearest(self, request: Request) -> Any:
        """Find the training photos that are most like one photo."""
        from starlette.responses import JSONResponse

        chosen = self._chosen(request)
        with self._ledger.account() as account:
            upload = await self._one_upload(request, account)
            nearest = await self._engine.nearest(upload, chosen)
        return JSONResponse({"format": FORMAT, "name": upload.name, "nearest": nearest})

    async def map(self, request: Request) -> Any:
        """Map the materials in one photo."""
        from starlette.responses import JSONResponse

        options, chosen = _map_options(request), self._chosen(request)
        with self._ledger.account() as account:
            upload = await self._one_upload(request, account)
            maps = await self._engine.map(upload, chosen, options)
        return JSONResponse({"format": FORMAT, "name": upload.name, "maps": maps})

    async def models(self, request: Request) -> Any:
        """List the models."""
        from starlette.responses import JSONResponse

        return JSONResponse({"format": FORMAT, "models": [model.about() for model in self._engine.models],
                             "limits": asdict(self._engine.limits)})

    async def metrics(self, request: Request) -> Any:
        """Give the counts."""
        from starlette.responses import PlainTextResponse

        return PlainTextResponse(self._engine.metrics.text(self._engine.waiting))

    async def healthz(self, request: Request) -> Any:
        """Say that the server runs."""
        from starlette.responses import JSONResponse

        return JSONResponse({"status": "alive"})

    async def readyz(self, request: Request) -> Any:
        """Say whether it answers photos."""
        from starlette.responses import JSONResponse

        return JSONResponse({"status": "ready"}) if self._engine.ready else JSONResponse({"status": "starting"}, 503)

    async def openapi(self, request: Request) -> Any:
        """Describe the interface for programs."""
        from starlette.responses import JSONResponse

        return JSONResponse(openapi(__version__))

    async def docs(self, request: Request) -> Any:
        """Describe the interface for people."""
        from starlette.responses import HTMLResponse

        return HTMLResponse(docs_page())

    async def _uploads(self, request: Request, account: Any) -> list[Upload]:
        """Receive a request's photos. Raises Refused."""
        import asyncio

        from starlette.requests import ClientDisconnect

        try:
            body = await body_of(request.headers, request.stream(), self._engine.limits, account)
        except ClientDisconnect:
            raise Refused(400, "The upload was broken off.") from None
        return await asyncio.to_thread(photos_in, body, request.headers.get("content-type", ""), self._engine.limits,
                                       account)

    async def _one_upload(self, request: Request, account: Any) -> Upload:
        """Receive a request's only photo. Raises Refused."""
        uploads = await self._uploads(request, account)
        if len(uploads) != 1:
            raise Refused(400, f"One photo is looked at at once, and these are {len(uploads)}.")
        return uploads[0]

    def _chosen(self, request: Request) -> list[ServedModel]:
        """Return the models that are asked. Raises Refused for an unknown name."""
        names = request.query_params.getlist("model")
        by_name = {model.name: model for model in self._engine.models}
        if unknown := [name for name in names if name not in by_name]:
            raise Refused(400, f"There is no model '{unknown[0][:80]}' here. There are: {', '.join(by_name)}.")
        return [by_name[name] for name in dict.fromkeys(names)] or list(self._engine.models)


def _question(request: Request) -> AnswerOptions:
    """Read the options of the query. Raises Refused."""
    given = request.query_params
    try:
        numbers = {name: float(given[name]) if name in given else None for name in ("coverage", "false_alarms")}
        flags = {name: {"1": True, "true": True, "0": False, "false": False, "": True}[given[name].lower()]
                 if name in given else False for name in ("raw", "by_class")}
        return AnswerOptions.in_percent(raw=flags["raw"], by_class=flags["by_class"], coverage=numbers["coverage"],
                                   false_alarms=numbers["false_alarms"])
    except SettingsError as error:
        raise Refused(400, str(error)) from None
    except (ValueError, KeyError):
        raise Refused(400, "coverage and false_alarms are numbers (percentages), raw and by_class are true or false."
                      ) from None


def _map_options(request: Request) -> MapOptions:
    """Read how a map is to be made from the query. Raises Refused."""
    given, usual = request.query_params, MapOptions()
    try:
        alarms = float(given["false_alarms"]) if "false_alarms" in given else None
        return MapOptions(scales_of(given["scales"]) if "scales" in given else usual.scales,
                          float(given.get("window", usual.window)),
                          AnswerOptions.in_percent(false_alarms=alarms).false_alarms)
    except SettingsError as error:
        raise Refused(400, str(error)) from None
    except ValueError:
        raise Refused(400, "window and false_alarms are numbers.") from None
