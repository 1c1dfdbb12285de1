"""The library as a whole: /api/status, folders, facets, failures, and index runs."""

import os
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request

import retrieval
from retrieval.catalog import browse
from retrieval.collection.status import nothing_at
from retrieval.errors import LibraryBusy, LibraryNotFound, PathNotFound
from retrieval.output.json_forms import (
    facets_object,
    failure_object,
    folder_object,
    status_object,
)
from retrieval.paths import given
from retrieval.web import schemas
from retrieval.web.guard import check_owner, is_owner
from retrieval.web.parameters import IndexRequest
from retrieval.web.routes.pictures import can_reveal
from retrieval.web.schemas import JSON, errors
from retrieval.web.state import Here, Site

MAX_FOLDERS = 1_000  # listed by /api/folders

router = APIRouter()


@router.get("/status", response_model=schemas.ServerStatus, responses=errors(503))
def status(site: Here, request: Request) -> JSON:
    """Describe the library and the index run in progress."""
    return JSON(server_status(site, request))


@router.get("/failures", response_model=schemas.Failures, responses=errors(503))
def failures(
    site: Here,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1 << 31)] = 0,
) -> JSON:
    """List the files that could not be read, and why."""
    try:
        total = site.library.catalog.counts().failures
        some = islice(site.library.failures(), offset, offset + limit)
        listed = [failure_object(failed) for failed in some]
    except LibraryNotFound:
        total, listed = 0, []
    return JSON({"failures": listed, "total": total})


@router.get("/folders", response_model=list[schemas.Folder], responses=errors(503))
def folders(site: Here) -> JSON:
    """List folders, each with its number of pictures; only the largest if there are many."""
    try:
        found = browse.folders(site.library.catalog, MAX_FOLDERS)
    except LibraryNotFound:
        found = []
    return JSON([folder_object(path, files) for path, files in found])


@router.get("/facets", response_model=schemas.FacetCounts, responses=errors(503))
def facets(site: Here) -> JSON:
    """Count pictures by camera and format, and return the first and last dates taken."""
    try:
        found = browse.facets(site.library.catalog)
    except LibraryNotFound:
        found = browse.Facets((), (), None, None)
    return JSON(facets_object(found))


@router.post("/index", status_code=202, responses=errors(400, 409))
def start_index(
    site: Here,
    request: Request,
    asked: Annotated[IndexRequest, Body()] = IndexRequest(),  # noqa: B008
) -> JSON:
    """Index folders and files; without any, bring the whole library up to date."""
    check_owner(request, "indexing")
    named = [given(path) for path in asked.paths]
    for path in named:
        if not os.path.exists(path):
            raise PathNotFound(f"no such file or folder: {path}")
    database = site.library.database
    if not database.is_shared and database.underway():
        raise LibraryBusy("indexing is already running; wait until it is done")
    site.index_jobs.start(named)
    return JSON({}, 202)


@router.delete("/index", status_code=202, responses=errors())
def stop_index(site: Here, request: Request) -> JSON:
    """Stop this server's index run; finished work is kept."""
    check_owner(request, "stopping an index run")
    site.index_jobs.stop()
    return JSON({}, 202)


def server_status(site: Site, request: Request) -> dict[str, Any]:
    """Return what `retrieve status --json` prints, and what else the page needs."""
    try:
        held, version = site.library.status(), browse.version(site.library.catalog)
    except LibraryNotFound:
        held, version = nothing_at(site.library.where), 0
    return status_object(held) | {
        "last_run": site.index_jobs.last,
        "version": version,
        "version_of_program": retrieval.__version__,
        "can_reveal": can_reveal(request),
        "can_index": is_owner(request),
        "allow_url": site.settings.allow_url,
    }
