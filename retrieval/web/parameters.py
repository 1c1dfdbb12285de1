"""Parameters of a request: unknown names are refused, and invalid values explained.

Frameworks ignore unknown names in silence: `?limt=3` would answer with fifty matches, and a body
with `path` in place of `paths` would index the whole library.
"""

import difflib
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from fastapi import HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

SENTENCES = {  # for pydantic's kinds of errors; others keep its own message
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "extra_forbidden": "there is no field of this name",
    "float_parsing": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "missing": "is required",
    "string_type": "must be a text",
    "too_long": "must have at most {max_length} items",
}


MAX_ANSWERS = 1_000


class IndexRequest(BaseModel):
    """What to index: folders and files; without any, everything that the library knows."""

    model_config = ConfigDict(extra="forbid")

    paths: list[str] = []


class JudgedPicture(BaseModel):
    """Whether a picture is a right result of a query."""

    model_config = ConfigDict(extra="forbid")

    query: str
    picture: int  # its number
    right: bool


class JudgedPictures(BaseModel):
    """Whether the results of some queries are right."""

    model_config = ConfigDict(extra="forbid")

    answers: Annotated[list[JudgedPicture], Field(max_length=MAX_ANSWERS)]


FIELDS = {
    name for body in (IndexRequest, JudgedPictures, JudgedPicture) for name in body.model_fields
}


def check_names(request: Request) -> None:
    """Raise HTTPException for a parameter in the address that the route does not know, or that is
    given more often than it may be.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = _known(route.dependant)
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        if name not in known:
            raise HTTPException(422, f"{name}: there is no such parameter; {_hint(name, known)}")
        if count > 1 and not known[name]:
            raise HTTPException(422, f"{name}: it is given {count} times")


def explained(error: Mapping[str, Any]) -> str:
    """Return one line about an invalid value, from pydantic's description of it."""
    name = ".".join(str(part) for part in error["loc"][1:]) or "the body"
    said = SENTENCES.get(error["type"])
    if said is None:
        return f"{name}: {error['msg']}"
    near = difflib.get_close_matches(name.rpartition(".")[2], FIELDS, 1)
    hint = f"; did you mean {near[0]}?" if near and error["type"] == "extra_forbidden" else ""
    return f"{name}: {said.format(**error.get('ctx', {}))}{hint}"


def _hint(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(sorted(known))}" if known else "this address takes none"


def _known(dependant: Dependant) -> dict[str, bool]:
    """Return the query parameters of a route and its dependencies, and whether each is a list."""
    known = {
        field.alias: "list[" in str(field.field_info.annotation) for field in dependant.query_params
    }
    for each in dependant.dependencies:
        known.update(_known(each))
    return known
