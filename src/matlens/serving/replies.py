"""Refusals as answers in JSON."""

from __future__ import annotations

from typing import Any

from matlens.serving.limits import Refused


def refusal(refused: Refused) -> Any:
    """Return the response of a refusal: `error` in words, with what a client needs to go on."""
    from starlette.responses import JSONResponse

    headers = {}
    if refused.retry_after:
        headers["Retry-After"] = str(refused.retry_after)
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": refused.words}, refused.status, headers)
