"""The page reads and rewrites the query's line: what it means to the server must stay the same."""

import json
from dataclasses import replace
from typing import Any

import pytest

from retrieval.filters import FIELDS, Filters, written
from retrieval.search.language import ID, Line
from retrieval.search.question import ImageId

LINES = [
    "a red car",
    "a beach + id:12 - id:99",
    '"a + b" - "c - d"',
    '2:"golden retriever" + .5:pool - 1.5:id:7',
    "- id:3 + words in:holiday more words",
    'in:"My Pictures/a b" camera:pixel dog after:2023-06',
    'camera:"nikon d90" format:jpeg orientation:Portrait min-size:10x20 near:48.1,11.5,5',
    "16:9 screens at 5:30",
    "a well-known face x+y",
    'after "in:quoted" unin:x',
    "  many   blanks\tand tabs  ",
    'a "quoted" word and id: 5',
    "id:12",
    "id:x id: ID:5",
    'dog 2:"b c"',
    "naïve Straße 日本 – it’s",
]


@pytest.fixture
def rewritten(page: Any, url: str) -> Any:
    """What the page makes of a line, with some of its filters changed."""
    page.goto(url)
    module = f"import({json.dumps(url + 'page/query.js')})"

    def rewrite(line: str, changes: dict[str, str | None]) -> str:
        said = f"([line, changes]) => {module}.then((query) => query.withFilters(line, changes))"
        written_again: str = page.evaluate(said, [line, changes])
        return written_again

    return rewrite


def test_a_line_means_the_same_when_it_is_written_again(rewritten: Any) -> None:
    for line in LINES:
        assert meaning(rewritten(line, {})) == meaning(line)


def test_a_filter_is_set_and_the_rest_stays(rewritten: Any) -> None:
    for line in LINES:
        terms, filters = meaning(line)
        expected = replace(filters, folder="/some where/x")
        assert meaning(rewritten(line, {"in": "/some where/x"})) == (terms, expected)
        assert meaning(rewritten(line, dict.fromkeys(FIELDS))) == (terms, Filters())


def meaning(line: str) -> tuple[list[Any], Filters]:
    def names(word: str) -> ImageId | None:
        found = ID.fullmatch(word)
        return ImageId(int(found[1])) if found else None

    read = Line([line], names)
    return (read.terms() if read.has_terms else []), read.filters


def test_every_filter_is_known_to_the_page(rewritten: Any) -> None:
    values = {"near": "1,2,3", "min-size": "1x2", "orientation": "square", "format": "png"}
    for name in FIELDS:
        value = values.get(name, "2024")
        assert meaning(rewritten("dog", {name: value})) == (
            meaning("dog")[0],
            written(name, value),
        )
