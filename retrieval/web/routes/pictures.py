"""A picture of the library, by its number: /api/pictures/{id}, its thumbnail, its file."""

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse

from retrieval.catalog.selection import first_in
from retrieval.catalog.thumbnail_cache import VERSION
from retrieval.decoding.formats import is_for_browsers, media_type
from retrieval.output.json_forms import details_object
from retrieval.records import Image, Moment
from retrieval.sources.entry import Entry
from retrieval.web import original_file
from retrieval.web.guard import check_owner, is_owner
from retrieval.web.original_file import OpenedFile
from retrieval.web.schemas import JSON, Number, PictureDetails, errors
from retrieval.web.state import Here, Site
from retrieval.web.thumbnails import FULL_BOX, LARGE_BOX, SMALL_BOX, Box, NoThumbnail

FOREVER = "private, max-age=31536000, immutable"  # an id always means the same bytes
PICTURE: dict[str, Any] = {"content": {"image/webp": {}}, "description": "The picture."}

MomentNumber = Annotated[int | None, Query(ge=0, le=1 << 20)]

router = APIRouter(prefix="/pictures/{id}")


@router.get("", response_model=PictureDetails, responses=errors(404, 503))
def picture(site: Here, id: Number) -> JSON:
    """Return all details of a picture."""
    image = known(site, id)
    catalog, path = site.library.catalog, first_in(image.paths)
    size = catalog.files.bytes_of([id]).get(id)
    exists = any(each.is_remote for each in entries_of(site, image)) or (
        file_of(site, image) is not None
    )
    companions = catalog.other_files.of_images([id]).get(path, [])
    wordings = catalog.images.wordings(id)
    moments = catalog.images.moments([id]).get(id, [])
    return JSON(details_object(image, path, size, exists, companions, wordings, moments))


@router.get(
    "/thumbnail",
    response_class=Response,
    responses={200: PICTURE, 304: {"description": "Not modified."}, **errors(404, 410, 503)},
)
async def thumbnail(
    site: Here, request: Request, id: Number, large: bool = False, moment: MomentNumber = None
) -> Response:
    """Return the picture upright, within 960 × 320 pixels; with `large`, 2048 × 2048.

    `moment`: the number of one of several frames, pages, or seconds of a video.
    """
    image, digest = await run_sync(with_digest, site, id)
    at = await run_sync(moment_of, site, id, moment)
    return await drawn(site, request, image, digest, LARGE_BOX if large else SMALL_BOX, at)


@router.get(
    "/full",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {}}, "description": "The picture."},
        304: {"description": "Not modified."},
        **errors(404, 410, 503),
    },
)
async def full(site: Here, request: Request, id: Number) -> Response:
    """Return the picture for a closer look: the original file if browsers can show it, else a WebP
    within 6144 × 6144 pixels.
    """
    image, digest = await run_sync(with_digest, site, id)
    if is_for_browsers(image.format):
        return await run_sync(original, site, id)
    return await drawn(site, request, image, digest, FULL_BOX)


@router.get(
    "/original",
    response_class=FileResponse,
    responses={
        200: {"content": {"image/*": {}}, "description": "The bytes of the file."},
        **errors(404, 410, 503),
    },
)
def original(site: Here, id: Number) -> Response:
    """Return the original file, whole or in ranges; never a file that replaced it. A member of a
    shard comes whole.
    """
    image = known(site, id)
    headers = {"Cache-Control": "private, no-cache"}
    try:
        path, opened = opened_file(site, image)
    except HTTPException:
        if (data := original_file.member(site.library.catalog, image)) is None:
            raise
        return Response(data, media_type=media_type(image.format), headers=headers)
    return OpenedFile(
        opened,
        media_type=media_type(image.format),
        filename=path.name.encode("utf-8", "replace").decode("utf-8"),
        content_disposition_type="inline",
        headers=headers,
    )


async def drawn(
    site: Site, request: Request, image: Image, digest: bytes, box: Box, at: Moment | None = None
) -> Response:
    """Return a picture that the server draws, unless the browser has it."""
    number = f"-{at.number}" if at else ""
    headers = {"ETag": f'"{digest.hex()}-{box[0]}-{VERSION}{number}"', "Cache-Control": FOREVER}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    entries = await run_sync(entries_of, site, image)
    try:
        webp = await site.thumbnails.of(digest, entries, box, image.format, at)
    except NoThumbnail as error:
        raise HTTPException(410, f"cannot show {image.paths[0]}: {error}") from error
    return Response(webp, media_type="image/webp", headers=headers)


@router.post("/reveal", status_code=204, responses=errors(404, 410, 503))
def reveal(site: Here, request: Request, id: Number) -> None:
    """Open the picture's folder on the screen of this machine."""
    check_owner(request, "opening a folder")
    image = known(site, id)
    if not can_reveal(request):
        raise HTTPException(403, "cannot open a folder: this machine has no screen")
    path = there(site, image)
    quiet = subprocess.DEVNULL
    shown = subprocess.Popen(
        revealing(path), stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    threading.Thread(target=shown.wait, daemon=True).start()  # it may be the file manager itself


def known(site: Site, id: int) -> Image:
    image = site.library.catalog.images.by_id([id]).get(id)
    if image is None or not image.paths:
        raise HTTPException(404, f"the library has no picture {id}")
    return image


def moment_of(site: Site, id: int, number: int | None) -> Moment | None:
    """Return a moment by its number; without one the first, which a still picture has unnamed."""
    moments = site.library.catalog.images.moments([id]).get(id, [])
    if number is None or (number == 0 and not moments):
        return moments[0] if moments else None
    if number >= len(moments):
        raise HTTPException(404, f"picture {id} has no moment {number}")
    return moments[number]


def with_digest(site: Site, id: int) -> tuple[Image, bytes]:
    image, digest = known(site, id), site.library.catalog.images.digest_of(id)
    assert digest is not None  # every image has one
    return image, digest


def entries_of(site: Site, image: Image) -> list[Entry]:
    """Return where the bytes of all of its copies are."""
    return site.library.catalog.containers.entries([image.id]).get(image.id, [])


def file_of(site: Site, image: Image) -> Path | None:
    """Return the first regular file that holds it."""
    for entry in entries_of(site, image):
        try:
            if stat.S_ISREG(os.stat(entry.path).st_mode):
                return Path(os.fsdecode(entry.path))
        except OSError:
            continue
    return None


def opened_file(site: Site, image: Image) -> tuple[Path, int]:
    """Return the first of its files that is still the indexed one, and a descriptor of it."""
    changed = None
    for path in image.paths:
        try:
            return path, original_file.opened(site.library.catalog, image, path)
        except FileNotFoundError:
            continue
        except (original_file.Changed, OSError) as error:
            changed = error
    if changed is None:
        raise gone(image)
    said = getattr(changed, "strerror", None) or changed
    raise HTTPException(410, f"cannot show {image.paths[0]}: {said}") from changed


def gone(image: Image) -> HTTPException:
    return HTTPException(410, f"{image.paths[0]} is gone; run `retrieve index` to update")


def there(site: Site, image: Image) -> Path:
    """Return the first regular file that holds it. Raises HTTPException."""
    if (path := file_of(site, image)) is None:
        raise gone(image)
    return path


def can_reveal(request: Request) -> bool:
    """Return whether the request comes from the owner, and this machine has a screen."""
    program = revealing(Path())[0]
    has_screen = sys.platform in ("win32", "darwin") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    return is_owner(request) and has_screen and shutil.which(program) is not None


def revealing(path: Path) -> list[str]:
    """Return the command that shows a file in its folder."""
    if sys.platform == "win32":
        return ["explorer", f"/select,{path}"]
    if sys.platform == "darwin":
        return ["open", "-R", os.fspath(path)]
    return ["xdg-open", os.fspath(path.parent)]
