"""The ASGI application: routes, errors as JSON, and the page's files."""

import asyncio
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import retrieval
from clipmodel.errors import ClipModelError
from retrieval.errors import (
    InvalidValue,
    LibraryBusy,
    LibraryNotFound,
    PathNotFound,
    RetrieveError,
    UnreadablePicture,
    explained,
    is_spent,
)
from retrieval.web.guard import Guard
from retrieval.web.parameters import check_names
from retrieval.web.parameters import explained as explained_misuse
from retrieval.web.routes import judging, library, pictures, search, uploads
from retrieval.web.schemas import error
from retrieval.web.state import Site

PAGE = Path(__file__).with_name("page")

mimetypes.add_type("text/javascript", ".js")  # some systems map it to another type


def application(site: Site) -> FastAPI:
    """Compose the application of a site; closing the one closes the other."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        site.prepare()
        resting = asyncio.create_task(site.rest())
        yield
        resting.cancel()
        site.close()

    app = FastAPI(
        title="retrieve",
        version=retrieval.__version__,
        description="Search pictures by description or by example picture.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load scripts from other sites
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.site = site
    app.add_middleware(Guard, settings=site.settings)
    for kind in (RetrieveError, ClipModelError, ClientDisconnect):
        app.add_exception_handler(kind, _failed)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misused)
    app.add_exception_handler(Exception, _failed)
    api = APIRouter(prefix="/api", dependencies=[Depends(check_names)])
    for part in (search, judging, pictures, uploads, library):
        api.include_router(part.router)
    app.include_router(api)
    files = StaticFiles(directory=PAGE)
    app.mount("/page", files)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    return app


async def _failed(_: Request, failure: Exception) -> Response:
    match failure:
        case InvalidValue() | PathNotFound() | UnreadablePicture() | ClientDisconnect():
            status = 400
        case LibraryNotFound():
            status = 404
        case LibraryBusy():
            status = 409
        case RetrieveError() | ClipModelError():
            status = 503
        case _ if is_spent(failure):
            status = 503
        case _:
            status = 500
    return error(explained(failure), status, getattr(failure, "position", None))


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, HTTPException)
    return error(refusal.detail, refusal.status_code, None, **dict(refusal.headers or {}))


async def _misused(_: Request, misuse: Exception) -> Response:
    """Report the first invalid parameter."""
    assert isinstance(misuse, RequestValidationError)
    return error(explained_misuse(misuse.errors()[0]), 422)
