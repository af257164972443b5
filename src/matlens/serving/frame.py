"""What all servers of matlens share: refusals in JSON, the guard at the door, and the files of a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from matlens.errors import SettingsError
from matlens.serving.limits import Overloaded, Refused
from matlens.serving.metrics import Metrics
from matlens.serving.replies import refusal
from matlens.serving.security import App, Guard

if TYPE_CHECKING:
    from starlette.requests import Request

Answer = Callable[["Request"], Awaitable[Any]]
Files = Mapping[str, tuple[bytes, str]]
"""The content and the type of files, by path."""


def refuse_without_server() -> None:
    """Raise SettingsError where the packages of the extra `serve` are missing."""
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SettingsError(f"Serving needs {error.name}: pip install 'matlens[serve]'") from error


def address_of(host: str, port: int) -> str:
    """Return the address at which a server is reached."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def guarded(answering: Sequence[tuple[str, str, Answer]], files: Files, protected: frozenset[str], token: str | None,
            metrics: Metrics, *, lifespan: Any = None, see: str = "") -> App:
    """Make an application that refuses in JSON, behind the guard.

    Args:
        answering: (path, method, what answers it). files: of the page, which need no token.
        protected: the paths for which a token is asked, where there is one.
        see: what says which paths there are, for who asks for another.
    """
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    async def refused(request: Request, error: Exception) -> Any:
        assert isinstance(error, Refused)
        if isinstance(error, Overloaded):
            metrics.count("overloaded")
        return refusal(error)

    async def by_status(request: Request, error: Exception) -> Any:
        assert isinstance(error, HTTPException)
        return refusal(Refused(error.status_code, f"{request.method} {request.url.path}: {error.detail}. {see}".strip()
                               ))

    async def defect(request: Request, error: Exception) -> Any:
        return refusal(Refused(500, "The server has a defect. Its standard error says more."))

    routes = [Route(path, answer, methods=[method]) for path, method, answer in answering]
    routes += [Route(path, partial(_file, *content), methods=["GET"]) for path, content in files.items()]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={
        Refused: refused, HTTPException: by_status, Exception: defect})
    return Guard(app, token, protected, frozenset(path for path, _, _ in answering), metrics)


def page_files(package: str, name: str) -> dict[str, tuple[bytes, str]]:
    """Return the files of a page by path, with their types: index.html, NAME.css and all scripts in `package`/page.

    /shared.js, /style.css (with the page's own style behind it) and the form that asks for a token, which stands in
    index.html in place of a comment, are those of all pages.
    """
    from importlib.resources import files

    style = files("matlens.report").joinpath("templates", "style.css").read_text("utf-8")
    shared, page = files("matlens.serving").joinpath("page"), files(package).joinpath("page")
    of_all, own = (folder.joinpath(file).read_text("utf-8") for folder, file in ((shared, "controls.css"),
                                                                               (page, f"{name}.css")))
    scripts = [shared.joinpath("shared.js"), *(file for file in page.iterdir() if file.name.endswith(".js"))]
    door = shared.joinpath("door.html").read_text("utf-8")
    index = page.joinpath("index.html").read_text("utf-8").replace("<!-- door -->\n", door)
    return {"/": (index.encode(), "text/html; charset=utf-8"),
            **{f"/{file.name}": (file.read_bytes(), "text/javascript; charset=utf-8") for file in scripts},
            "/style.css": (f"{style}\n{of_all}{own}".encode(), "text/css; charset=utf-8")}


async def _file(content: bytes, media: str, request: Request) -> Any:
    from starlette.responses import Response

    return Response(content, media_type=media)
