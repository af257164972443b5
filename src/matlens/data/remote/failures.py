"""What fails between this machine and a store of photos: which of it passes, and what to say of the rest.

The words come from numbers and codes alone. What libraries say of an error may hold addresses with their tokens, so
none of it is passed on.
"""

from __future__ import annotations

import errno
import http
import importlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from matlens.data.source.patience import Patience
from matlens.errors import DataError
from matlens.system.caches import Say

PATIENCE = Patience(tries=5, pause=0.5)
"""Some eight seconds of waiting in all, for each object."""

_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP answers that another try may change."""

_PASSING_CODES = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling",
                            "ThrottlingException", "OperationAborted"})
_PASSING_KINDS = {
    "ClientPayloadError": "the connection ended in the middle", "IncompleteReadError": "the connection ended in the "
    "middle", "IncompleteRead": "the connection ended in the middle", "ResponseStreamingError": "the connection ended "
    "in the middle", "TransferEncodingError": "the connection ended in the middle",
    "ServerDisconnectedError": "the server closed the connection", "ConnectionClosedError": "the server closed the "
    "connection", "FSTimeoutError": "the server sends nothing", "ReadTimeoutError": "the server sends nothing",
    "ConnectTimeoutError": "the server does not answer", "EndpointConnectionError": "there is no connection to the "
    "server", "ClientConnectorError": "there is no connection to the server", "ClientOSError": "the connection was "
    "reset", "HTTPClientError": "the connection failed", "ResponseParserError": "the answer is damaged"}
"""By the names of classes of aiohttp, botocore and fsspec, which need not be installed."""

_DENIED_KINDS = {"NoCredentialsError": "no credentials were found", "PartialCredentialsError": "one half of the "
                 "credentials is missing", "ProfileNotFound": "there is no such profile",
                 "TokenRetrievalError": "the credentials cannot be renewed",
                 "UnauthorizedSSOTokenError": "the session of the credentials has ended",
                 "SSOTokenLoadError": "the session of the credentials has ended",
                 "CredentialRetrievalError": "the credentials cannot be had",
                 "DefaultCredentialsError": "no credentials were found"}
_DENIED_CODES = {"InvalidAccessKeyId": "the access key is not known there", "SignatureDoesNotMatch": "the secret key "
                 "does not belong to the access key", "ExpiredToken": "the session token has expired",
                 "InvalidToken": "the session token is none", "InvalidClientTokenId": "the access key is not known "
                 "there", "RequestTimeTooSkewed": "this machine's clock is wrong",
                 "AccessDenied": "these credentials may not read it"}
_CODE = re.compile(r"[A-Za-z0-9.]{1,60}")

Kind = Literal["passing", "denied", "missing", "other"]
Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Failure:
    """What failed, in words without addresses or keys, and whether another try may help."""

    kind: Kind
    words: str


NOT_THERE = Failure("missing", "it is not there")
NO_CREDENTIALS = Failure("denied", _DENIED_KINDS["NoCredentialsError"])


class Truncated(OSError):
    """An object ended before its end."""


def failures() -> tuple[type[BaseException], ...]:
    """Return what the libraries that are loaded raise where a store fails."""
    kinds: list[type[BaseException]] = [OSError, ValueError, KeyError]
    for module, names in (("aiohttp", ("ClientError",)), ("botocore.exceptions", ("BotoCoreError", "ClientError")),
                          ("gcsfs.retry", ("HttpError",)), ("google.auth.exceptions", ("GoogleAuthError",))):
        if module in sys.modules:
            loaded = importlib.import_module(module)
            kinds += [getattr(loaded, name) for name in names]
    return tuple(kinds)


def failure_of(error: BaseException) -> Failure:
    """Say what an error of a store's library means."""
    for link in _chain(error):
        if isinstance(link, Truncated):
            return Failure("passing", str(link))
        if (found := _by_answer(link)) or (found := _by_class(link)):
            return found
    if isinstance(error, FileNotFoundError):
        return NOT_THERE
    if isinstance(error, PermissionError):
        return Failure("denied", "it may not be read")
    if isinstance(error, TimeoutError):
        return Failure("passing", "the server sends nothing")
    if isinstance(error, ConnectionError):
        return Failure("passing", "the connection was reset")
    if isinstance(error, OSError) and error.errno is not None and error.strerror and error.filename is not None:
        return Failure("other", error.strerror)  # of this machine's own files
    return Failure("other", f"{type(error).__name__}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _by_answer(error: BaseException) -> Failure | None:
    """Read the HTTP status and the store's code, where an error has them."""
    response = getattr(error, "response", None)
    code, status = "", getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _DENIED_CODES:
        return Failure("denied", _DENIED_CODES[code])
    if code == "NoSuchBucket":
        return Failure("missing", "there is no such bucket")
    if code in _PASSING_CODES:
        return Failure("passing", f"the server answers {code}")
    if not isinstance(status, int) or not 300 <= status <= 599:
        return None
    said = f"the server answers {_in_words(status)}{f' ({code})' if _CODE.fullmatch(code) and code.isalpha() else ''}"
    kind: Kind = ("passing" if status in _PASSING else "denied" if status in (401, 403, 407) else
                  "missing" if status in (404, 410) else "other")
    return Failure(kind, said)


def _in_words(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _by_class(error: BaseException) -> Failure | None:
    for kind in type(error).__mro__:
        if kind.__name__ in _DENIED_KINDS:
            return Failure("denied", _DENIED_KINDS[kind.__name__])
        if kind.__name__ in _PASSING_KINDS:
            return Failure("passing", _PASSING_KINDS[kind.__name__])
    return None


def patiently(action: Callable[[], Outcome], name: str, patience: Patience, say: Say) -> Outcome:
    """Do something with a store, again where it fails for a reason that may pass, with longer and longer pauses.

    Args:
        name: what is read, as a user may see it.
        say: called with a line about each failure that passes.

    Raises:
        StoreError: it failed for good, or too often.
    """
    for number in range(1, patience.tries + 1):
        try:
            return action()
        except DataError:
            raise
        except failures() as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # of this machine's disk
            failure = failure_of(error)
        if failure.kind != "passing":
            raise StoreError(name, failure)
        if number < patience.tries:
            pause = patience.pause * 2 ** (number - 1)
            say(f"{name}: {failure.words}; trying again in {pause:.1f} s")
            time.sleep(pause)
    raise StoreError(name, Failure("passing", f"{failure.words} ({patience.tries} tries)"))


class StoreError(DataError):
    """A store of photos does not give what is asked of it. failure: why."""

    def __init__(self, name: str, failure: Failure) -> None:
        super().__init__(f"Cannot read {name}: {failure.words}. {_way_out(name, failure.kind)}")
        self.failure = failure


def _way_out(name: str, kind: Kind) -> str:
    scheme = name.partition("://")[0]
    if kind == "denied" and scheme == "s3":
        return ("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or AWS_PROFILE, to "
                "credentials that may list and read it, then repeat the command.")
    if kind == "denied" and scheme == "gs":
        return ("Set GOOGLE_APPLICATION_CREDENTIALS to the file of an account that may list and read it, then repeat "
                "the command.")
    if kind == "denied":
        return ("Give an address that may be read: with a token in its query, or as https://USER:PASSWORD@SERVER/... "
                "matlens shows and records neither.")
    if kind == "passing":
        return "The same command goes on with what has arrived."
    if kind == "missing":
        return "Correct the address."
    return "Repeat the command; if that does not help, look at the object with the store's own tools."
