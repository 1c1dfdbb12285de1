"""Uploads of pictures to search with: /api/uploads."""

from typing import Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Request, Response

from retrieval.decoding.task import TaskResult
from retrieval.errors import FailureCode
from retrieval.records import Failure
from retrieval.search.question import PreparedPicture
from retrieval.web.routes.pictures import FOREVER, PICTURE
from retrieval.web.schemas import JSON, Uploaded, errors
from retrieval.web.state import MAX_RECEIVING, Here, Site
from retrieval.web.upload_store import Upload

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}

OVERSIZED = {FailureCode.TOO_LARGE, FailureCode.TOO_MANY_BYTES}

router = APIRouter(prefix="/uploads")


@router.post(
    "",
    status_code=201,
    response_model=Uploaded,
    responses=errors(408, 413, 415, 503, 507),
    openapi_extra=BODY,
)
async def upload(site: Here, request: Request) -> JSON:
    """Upload a picture to search with; the body is the file itself.

    It is kept in memory for a while, and not added to the library.
    """
    if not site.receiving.acquire(blocking=False):
        raise HTTPException(
            503,
            f"{MAX_RECEIVING} uploads are already in progress; try again in a moment",
            {"Retry-After": "1"},
        )
    try:
        answer, prepared = await read(site, request)
    except OSError as failed:
        said = f"cannot store the upload: {failed.strerror or failed}"
        raise HTTPException(507, said) from failed
    finally:
        site.receiving.release()
    if not (prepared and answer.decoded and answer.thumbnail):
        raise refused(answer)
    decoded = answer.decoded
    size = decoded.width, decoded.height
    key = site.uploads.add(Upload(prepared, *size, decoded.format, answer.thumbnail))
    told = Uploaded(
        key=key,
        width=decoded.width,
        height=decoded.height,
        format=decoded.format,
        thumbnail=f"/api/uploads/{key}/thumbnail",
    )
    return JSON(told, 201)


async def read(site: Site, request: Request) -> tuple[TaskResult, PreparedPicture | None]:
    """Decode a request's body, by way of a temporary file. Raises OSError."""
    with site.scratch.file() as path:
        with path.open("wb") as file:
            async for chunk in request.stream():  # limited by guard.py
                file.write(chunk)
        return await run_sync(site.read, path)


@router.get("/{key}/thumbnail", response_class=Response, responses={200: PICTURE, **errors(404)})
def thumbnail(site: Here, key: str) -> Response:
    """Return the thumbnail of an upload."""
    if (held := site.uploads.get(key)) is None:
        raise HTTPException(404, "the upload does not exist or has expired; upload it again")
    headers = {"Cache-Control": FOREVER}
    return Response(held.thumbnail, media_type="image/webp", headers=headers)


def refused(result: TaskResult) -> HTTPException:
    why = result.failure or Failure(FailureCode.UNREADABLE, "it cannot be read")
    status = 413 if why.code in OVERSIZED else 415
    return HTTPException(status, f"can't search with this file: {why.reason}")
