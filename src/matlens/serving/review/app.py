"""The application of a review: the page, and what it asks (ASGI, by Starlette)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from matlens.errors import MatlensError
from matlens.serving.frame import guarded, page_files
from matlens.serving.limits import Ledger, Refused, ServerLimits
from matlens.serving.metrics import Metrics
from matlens.serving.review.desk import ReviewDesk
from matlens.serving.security import App
from matlens.serving.uploads import body_of
from matlens.system.untrusted import parse_json

if TYPE_CHECKING:
    from starlette.requests import Request

_LIMITS = ServerLimits(request_bytes=64 << 10, upload_seconds=10)


def make_review_app(desk: ReviewDesk, token: str | None = None) -> App:
    """Make the application. token: what all but the page's own files ask for; None answers to this machine alone."""
    from starlette.responses import JSONResponse, Response

    ledger = Ledger(_LIMITS.held_bytes)

    async def answered(work: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.to_thread(work, *arguments)
        except MatlensError as error:
            raise Refused(500, str(error)) from error

    async def review(request: Request) -> Any:
        return JSONResponse(await answered(desk.about))

    async def decided(request: Request) -> Any:
        return JSONResponse(await answered(desk.decided))

    async def photo(request: Request) -> Any:
        number = request.query_params.get("number", "")
        known = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
        return Response(await answered(desk.picture, known), media_type="image/jpeg")

    async def decide(request: Request) -> Any:
        from starlette.requests import ClientDisconnect

        with ledger.account() as account:
            try:
                body = await body_of(request.headers, request.stream(), _LIMITS, account)
            except ClientDisconnect:
                raise Refused(400, "The request was broken off.") from None
            try:
                asked = parse_json(body)
            except ValueError as error:
                raise Refused(400, f"This is no JSON: {error}.") from None
        if not isinstance(asked, dict):
            raise Refused(400, "A decision is an object with number, action and to.")
        return JSONResponse(await answered(desk.decide, asked))

    answering = (("/v1/review", "GET", review), ("/v1/decided", "GET", decided), ("/v1/photo", "GET", photo),
                 ("/v1/decide", "POST", decide))
    return guarded(answering, page_files("matlens.serving.review", "review"), frozenset(
        path for path, _, _ in answering), token, Metrics())
