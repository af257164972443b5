"""Take photos from the body of a request: raw bytes, a form (multipart), or a ZIP. Nothing touches the disk."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from matlens.data.pixels.archives import BROKEN, ZIP_MAGIC, content_of_member, photo_members
from matlens.data.pixels.problems import Problem
from matlens.serving.limits import Account, Refused, ServerLimits
from matlens.system.console import printable
from matlens.system.untrusted import MAX_MEMBERS, in_short, reason_of

_LONGEST_NAME = 200
_ZIP_TYPES = ("application/zip", "application/x-zip-compressed")


@dataclass(frozen=True)
class Upload:
    """A photo, or what was sent for one. name: for people alone. refused: why it is not looked at; else empty."""

    name: str
    content: bytes
    refused: str = ""


async def body_of(headers: Mapping[str, str], chunks: AsyncIterator[bytes], limits: ServerLimits, account: Account,
                  ) -> bytes:
    """Receive the body of a request.

    Raises:
        Refused: it is too large (413), or it does not end in time (408).
        Overloaded: all requests together hold too much.
    """
    stated = headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limits.request_bytes:
        raise _too_large(limits)
    content = bytearray()
    try:
        async with asyncio.timeout(limits.upload_seconds):
            async for chunk in chunks:
                if len(content) + len(chunk) > limits.request_bytes:
                    raise _too_large(limits)
                account.take(len(chunk))
                content += chunk
    except TimeoutError:
        raise Refused(408, f"The upload did not end within {limits.upload_seconds:g} s.") from None
    return bytes(content)


def photos_in(content: bytes, content_type: str, limits: ServerLimits, account: Account) -> list[Upload]:
    """Take the photos out of a body, ZIPs unpacked.

    Raises:
        Refused: there is none, there are too many, or the form or a ZIP is damaged or too large.
    """
    kind, options = _parsed(content_type)
    if kind == b"multipart/form-data":
        sent = _parts(content, options.get(b"boundary", b""), limits)
    else:
        sent = [Upload("archive.zip" if kind.decode("latin-1") in _ZIP_TYPES else "photo", content)] if content else []
    uploads: list[Upload] = []
    for upload in sent:
        is_zip = upload.content.startswith(ZIP_MAGIC) and upload.name.lower().endswith(".zip")
        uploads += _unpacked(upload, limits, account) if is_zip else [upload]
        if len(uploads) > limits.photos:
            raise _too_many(limits)
    if not uploads:
        raise Refused(400, "There is no photo in the request. Send one as the body, or some as files of a form.")
    return [upload if len(upload.content) <= limits.photo_bytes else Upload(upload.name, b"", (
        f"it has more than {limits.photo_bytes:,} bytes")) for upload in uploads]


def shown_name(name: str) -> str:
    """Return the last part of a file's name as sent, on one line. It is shown, and never used as a path."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return in_short(printable(last), _LONGEST_NAME) or "photo"


def _parsed(content_type: str) -> tuple[bytes, dict[bytes, bytes]]:
    from python_multipart.multipart import parse_options_header

    try:
        kind, options = parse_options_header(content_type)
    except (ValueError, KeyError, IndexError):
        return b"", {}
    return kind.strip().lower(), options


class _Form:
    """Collects the files of a form, as python-multipart's parser meets them."""

    def __init__(self, content: bytes, limits: ServerLimits) -> None:
        self.files: list[Upload] = []
        self._limits, self._field, self._value = limits, b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._data = bytearray()

    def on_part_begin(self) -> None:
        self._headers, self._data = {}, bytearray()

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def on_part_end(self) -> None:
        disposition = _parsed(self._headers.get(b"content-disposition", b"").decode("latin-1"))[1]
        if b"filename" not in disposition:
            return  # a field of text
        if len(self.files) >= self._limits.photos:
            raise _too_many(self._limits)
        name = disposition[b"filename"].decode("utf-8", "replace")
        if name or self._data:
            self.files.append(Upload(shown_name(name), bytes(self._data)))


def _parts(content: bytes, boundary: bytes, limits: ServerLimits) -> list[Upload]:
    """Take the files of a form. Raises Refused."""
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    if not boundary:
        raise Refused(400, "The form states no boundary in its Content-Type. Let the client make that header.")
    form = _Form(content, limits)
    names = ("on_part_begin", "on_header_field", "on_header_value", "on_header_end", "on_part_data", "on_part_end")
    ended: list[bool] = []
    try:
        parser = MultipartParser(boundary, {**{name: getattr(form, name) for name in names},  # type: ignore[arg-type]
                                            "on_end": lambda: ended.append(True)})
        parser.write(content)
        parser.finalize()
    except FormParserError as error:
        raise Refused(400, f"The form is damaged ({in_short(str(error))}).") from error
    if not ended:
        raise Refused(400, "The form is cut off: its last boundary is missing.")
    return form.files


def _unpacked(upload: Upload, limits: ServerLimits, account: Account) -> list[Upload]:
    """Take the photos of a ZIP, by their names; other members are passed over. Raises Refused."""
    photos: list[Upload] = []
    try:
        with zipfile.ZipFile(io.BytesIO(upload.content)) as archive:
            members = photo_members(archive, len(upload.content), limits.unpacked_bytes, MAX_MEMBERS)
            if len(members) > limits.photos:
                raise _too_many(limits)
            for member in members:
                name, content = shown_name(member.filename), content_of_member(archive, member, limits.photo_bytes)
                if isinstance(content, Problem):
                    photos.append(Upload(name, b"", content))
                    continue
                account.take(len(content))
                photos.append(Upload(name, content))
    except BROKEN as error:
        raise Refused(400, f"{upload.name} is no ZIP that is read here ({in_short(reason_of(error))}).") from error
    if not photos:
        raise Refused(400, f"There is no photo in {upload.name}, by the names of its files.")
    return photos


def _too_large(limits: ServerLimits) -> Refused:
    return Refused(413, f"The upload has more than {limits.request_bytes:,} bytes. Send fewer photos at once.")


def _too_many(limits: ServerLimits) -> Refused:
    return Refused(413, f"These are more than {limits.photos:,} photos. Send fewer at once.")
