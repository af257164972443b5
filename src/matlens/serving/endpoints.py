"""What the REST interface offers, each declared once: routes, the OpenAPI document and its page follow from it."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["boolean", "number", "string"]

_BODY = {"multipart/form-data": {"schema": {"type": "object", "properties": {"photos": {
    "type": "array", "items": {"type": "string", "format": "binary"}}}}},
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    "application/zip": {"schema": {"type": "string", "format": "binary"}}}

REFUSALS = {400: "There is no photo, the form or the ZIP is damaged, or an option is impossible.",
            401: "The token is missing or wrong.", 403: "A page of another site asks.",
            408: "The upload did not end in time.", 413: "The upload, or the number of photos, is too large.",
            422: "The photo that is the body cannot be read; those of a form have their own `error`.",
            429: "Too much is under way: try again after Retry-After."}
"""What a request may be refused with. Each says in `error` why."""


@dataclass(frozen=True)
class Option:
    """An option in the query."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True)
class Endpoint:
    """A path of the server. protected: a token is asked for, where the server has one. takes: photos in the body."""

    path: str
    method: Literal["GET", "POST"]
    summary: str
    answer: str
    protected: bool = True
    takes_photos: bool = False
    options: Sequence[Option] = ()
    media: str = "application/json"
    example: str = ""
    refusals: Sequence[int] = field(default=(401, 403))


_MODEL = Option("model", "string", "The name of a model in /v1/models; may be repeated. By default all answer.")

ENDPOINTS = (
    Endpoint(
        "/v1/predict", "POST", "Say what photos show.",
        "`photos`: of each `name`, and `answers` (what `matlens predict --json` prints, for each model) or `error`; "
        "`seconds`.", takes_photos=True, options=(
            _MODEL,
            Option("raw", "boolean", "Give the network's own probabilities, without calibration."),
            Option("coverage", "number", "Of the sets: percentage of photos whose true class is in the set (90)."),
            Option("by_class", "boolean", "Let coverage hold for the photos of each class."),
            Option("false_alarms", "number", "Percentage of photos like the validation photos that may be called "
                                             "unknown (5).")),
        example="curl -F photos=@photo.jpg http://127.0.0.1:8000/v1/predict", refusals=tuple(REFUSALS)),
    Endpoint(
        "/v1/explain", "POST", "Draw the heat map of one photo: what a model looked at.",
        "`explained`: of each model `class`, `method`, `title` and `heat`, a PNG in base64 with a pixel for each "
        "place, to be laid over the photo; null where the model tells of no places.", takes_photos=True, options=(
            _MODEL, Option("class", "string", "Explain the score of this class. By default that of the answer.")),
        example="curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/explain", refusals=tuple(REFUSALS)),
    Endpoint(
        "/v1/nearest", "POST", "Find the training photos that are most like one photo.",
        "`nearest`: of each model `photos`, the most alike first, each with `path` (in the dataset's folder), `class`, "
        "`similarity` (the cosine of features) and `jpeg`, a small picture in base64 with `width` and `height`, or "
        "null; and `remark`, why there are no photos or no pictures.", takes_photos=True, options=(_MODEL,),
        example="curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/nearest", refusals=tuple(REFUSALS)),
    Endpoint(
        "/v1/map", "POST", "Say which material is where in one photo.",
        "`maps`: of each model `legend` (class, number, colour, share of the area and confidence, the largest first), "
        "`overlay` (a PNG in base64, at the map's `size`), `numbers` (a PNG of class numbers, 255 where unknown) and "
        "what `matlens map` writes as JSON.", takes_photos=True, options=(
            _MODEL, Option("scales", "string", "Sizes at which the photo is looked at, as factors of its own (1,1.5)."),
            Option("window", "number", "Side of the neighbourhood that a place is answered by, in sides of the "
                                       "network's photos (1.25)."),
            Option("false_alarms", "number", "Percentage of photos like the validation photos that may be called "
                                             "unknown (5).")),
        example="curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/map", refusals=tuple(REFUSALS)),
    Endpoint("/v1/models", "GET", "List the models.", "`models`, and `limits` on what may be sent.",
             example="curl http://127.0.0.1:8000/v1/models"),
    Endpoint("/metrics", "GET", "Count what the server does.", "Prometheus' text format.", media="text/plain"),
    Endpoint("/healthz", "GET", "Say that the server runs.", "`status`.", protected=False, refusals=(403,)),
    Endpoint("/readyz", "GET", "Say whether all networks are compiled.", "`status`; 503 while they are not.",
             protected=False, refusals=(403,)),
    Endpoint("/openapi.json", "GET", "This description, for programs.", "An OpenAPI 3.1 document.", protected=False,
             refusals=(403,)),
    Endpoint("/docs", "GET", "This description, for people.", "A page.", protected=False, media="text/html",
             refusals=(403,)))


def openapi(version: str) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        schema: Mapping[str, Any] = {"type": "object" if endpoint.media == "application/json" else "string"}
        operation: dict[str, Any] = {
            "summary": endpoint.summary, "security": [{"token": []}, {}] if endpoint.protected else [{}],
            "parameters": [{"name": option.name, "in": "query", "required": False, "description": option.meaning,
                            "schema": {"type": option.kind}} for option in endpoint.options],
            "responses": {"200": {"description": endpoint.answer, "content": {endpoint.media: {"schema": schema}}},
                          **{str(status): {"description": REFUSALS[status]} for status in endpoint.refusals}}}
        if endpoint.takes_photos:
            operation["requestBody"] = {"required": True, "content": _BODY}
        paths[endpoint.path] = {endpoint.method.lower(): operation}
    return {"openapi": "3.1.0", "info": {"title": "matlens", "version": version,
                                         "description": "See what things are made of."},
            "paths": paths, "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}}


def docs_page() -> str:
    """Return the page that describes the endpoints: plain HTML without scripts."""
    return ("<!doctype html><html lang=en><meta charset=utf-8><title>matlens: REST interface</title>"
            '<meta name=viewport content="width=device-width, initial-scale=1"><link rel=icon href="data:,">'
            '<link rel=stylesheet href="/style.css">'
            "<main class=docs><h1>REST interface</h1><p>Where the server has a token, requests state it: "
            "<code>Authorization: Bearer TOKEN</code>. Refusals hold <code>error</code>, which says why. "
            'For programs: <a href="/openapi.json">openapi.json</a>. <a href="/">To the page</a></p>'
            f"{''.join(map(_described, ENDPOINTS))}</main></html>")


def _marked(text: str) -> str:
    """Write text as HTML, with what stands between backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _described(endpoint: Endpoint) -> str:
    options = "".join(f"<tr><th scope=row><code>{option.name}</code></th><td>{option.kind}</td>"
                      f"<td>{_marked(option.meaning)}</td></tr>" for option in endpoint.options)
    table = f"<table><caption>Options in the query</caption><tbody>{options}</tbody></table>" if options else ""
    refused = "".join(f"<li>{status}: {_marked(REFUSALS[status])}</li>" for status in endpoint.refusals)
    example = f"<pre><code>{html.escape(endpoint.example)}</code></pre>" if endpoint.example else ""
    takes = "<p>Takes photos as files of a form, one as the body, or a ZIP.</p>" if endpoint.takes_photos else ""
    return (f"<section><h2><code>{endpoint.method} {endpoint.path}</code></h2><p>{html.escape(endpoint.summary)}</p>"
            f"{takes}{table}<p>Answers: {_marked(endpoint.answer)}</p>{example}<details><summary>Refusals</summary>"
            f"<ul>{refused}</ul></details></section>")
