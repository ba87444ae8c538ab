"""Uploads on their way in: whether there is room, and what becomes of those that fail.

Knows: the route by which Gradio takes uploads, quotas, the disk. Does not know: what is uploaded,
sessions.

Gradio writes what comes into a file of its own, and gives it its place when all of it is there.
Whatever happens before that (the disk is full, the connection breaks, the file is too large), this
removes what there is of it and answers with a sentence.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demos.base.gradio_internals import uploading
from demos.base.languages import Words
from demos.turns.room import Quota, bytes_in, storage_full, told
from omni.errors import OmniError, ResourceError

ROUTE = "/upload"  # the end of its path
TOO_LARGE, NO_ROOM, FAILED = 413, 507, 400  # HTTP status codes; of any failure: from FAILED on
NOBODYS = (401, 403)  # who is not let in is not waited for
SPARE_BYTES = 50_000_000  # of the disk that are left for answers and for other programs
LOOK_EVERY = 16_000_000  # bytes of an upload whose size nobody has told
# A browser that still sends does not read why it is refused: so what comes is taken and forgotten.
DRAIN_S = 60.0


class Uploads:
    """Stands before the route of uploads."""

    def __init__(self, app: ASGIApp, root: Path, quota: Callable[[], Quota], words: Words) -> None:
        """Args:
        root: the folder of all that is kept for anyone; uploads go there.
        quota: how much that may be.
        words: says what went wrong.
        """
        self.app = app
        self._root, self._quota, self._words = root, quota, words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        path = str(scope.get("path", "")).rstrip("/")
        if scope["type"] != "http" or scope["method"] != "POST" or not path.endswith(ROUTE):
            await self.app(scope, receive, send)
            return
        coming = _Coming(receive, self._check)
        answer = _Answer(send)
        length = Headers(scope=scope).get("content-length", "")
        error: Exception | None = None
        with uploading() as files:
            try:
                await self._check(int(length) if length.isdecimal() else 0)
                await self.app(scope, coming.receive, answer.send)
            except ClientDisconnect:
                return
            except (OmniError, OSError) as failure:
                error = failure
            finally:  # also when it is cancelled; what came to its end has another name by now
                for file in files:
                    remove(file)
        if error is not None or answer.explains:
            await coming.rest()
        if error is None:
            await answer.release()
        elif not answer.begun:
            refusal = error if isinstance(error, OmniError) else told(error)  # type: ignore[arg-type]
            await self._refuse(scope, refusal)(scope, receive, send)

    async def _check(self, size: int) -> None:
        await run_in_threadpool(self._look, size)

    def _look(self, size: int) -> None:
        """Refuse an upload of ``size`` bytes (or of so many so far) for which there is no room.

        Raises:
            ResourceError: ``upload-too-large``, ``sessions-full``, ``storage-full``.
        """
        quota = self._quota()
        if size > quota.session:
            raise ResourceError(
                "upload-too-large",
                "This is more than the {megabytes} MB that may be sent here: send smaller files.",
                megabytes=quota.session // 1_000_000,
            )
        if bytes_in(self._root) + size > quota.everybody:
            raise ResourceError(
                "sessions-full",
                "The server keeps as much for its visitors as it may: try again later.",
            )
        place = next(one for one in (self._root, *self._root.parents) if one.exists())
        if shutil.disk_usage(place).free < size + SPARE_BYTES:
            raise storage_full()

    def _refuse(self, scope: Scope, error: OmniError) -> PlainTextResponse:
        request: Any = SimpleNamespace(headers=Headers(scope=scope))
        sentence = self._words.error(self._words.of(request), error)
        status = TOO_LARGE if error.code == "upload-too-large" else NO_ROOM
        return PlainTextResponse(sentence, status)


class _Coming:
    """The body of an upload: counted, and looked at every so often."""

    def __init__(self, receive: Receive, check: Callable[[int], Awaitable[None]]) -> None:
        self._receive, self._check = receive, check
        self._bytes = self._looked = 0
        self._over = False

    async def receive(self) -> Message:
        """ASGI.

        Raises:
            ResourceError: as the check does.
        """
        message = await self._receive()
        self._over = message["type"] != "http.request" or not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes - self._looked >= LOOK_EVERY:
            self._looked = self._bytes
            await self._check(self._bytes)
        return message

    async def rest(self) -> None:
        """Take what still comes, and forget it."""
        due = time.monotonic() + DRAIN_S
        while not self._over and time.monotonic() < due:
            message = await self._receive()
            self._over = message["type"] != "http.request" or not message.get("more_body", False)


class _Answer:
    """The answer: sent at once, or held back where something failed."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.held: list[Message] = []
        self.explains = False  # whether what is held back is for somebody who may send files

    async def send(self, message: Message) -> None:
        """ASGI."""
        failed = message["type"] == "http.response.start" and message["status"] >= FAILED
        if self.held or failed:
            self.explains |= failed and message["status"] not in NOBODYS
            self.held.append(message)
            return
        self.begun = True
        await self._send(message)

    async def release(self) -> None:
        """Send what was held back."""
        for message in self.held:
            await self._send(message)


def remove(file: Any) -> None:
    """Close and remove a temporary file, if it is still there."""
    with suppress(OSError):  # what it still holds does not fit on the disk
        file.close()
    with suppress(OSError):  # it has its place by now
        Path(file.name).unlink()
