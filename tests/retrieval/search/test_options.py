"""Options of a search and of an index run: one list of them, however they are given."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from retrieval import (
    Filters,
    IndexOptions,
    InvalidQuery,
    InvalidValue,
    Library,
    Match,
    SearchOptions,
)
from retrieval.models.devices import PRECISIONS
from retrieval.search.options import SearchKeywords


def paths(matches: list[Match]) -> list[Path]:
    """Scores differ in the last digit, by what is searched for at the same time."""
    return [match.path for match in matches]


def test_keywords_are_the_fields_of_the_options() -> None:
    hints = get_type_hints(SearchOptions)
    assert {"limit": int, **get_type_hints(SearchKeywords)} == hints
    from retrieval.indexing import options

    assert list(options.IndexKeywords.__annotations__) == [
        field.name for field in fields(IndexOptions)
    ]


def test_the_precisions_are_those_of_the_encoder() -> None:
    from typing import get_args

    from clipmodel.torch_backend.image_encoder import Precision

    assert get_args(Precision) == PRECISIONS


def test_options_and_keywords_say_the_same(indexed: Path) -> None:
    options = SearchOptions(limit=3, offset=1, folder="small", without="a dog", rank="cosine")
    with Library.open(indexed) as library:
        said: Any = {"folder": "small", "without": ["a dog"], "rank": "cosine"}
        expected = paths(library.search("a cat", 3, offset=1, **said))
        assert len(expected) == 3
        assert paths(library.search("a cat", options=options)) == expected
        assert paths(library.search("a cat", 2, options=options)) == expected[:2]  # keywords win
        next_one = library.search("a cat", options=options, offset=2)
        assert paths(next_one) == paths(library.search("a cat", 3, offset=2, **said))


def test_an_unknown_keyword_is_named(indexed: Path) -> None:
    unknown: dict[str, Any] = {"foldre": "small"}
    with Library.open(indexed) as library:
        for ask in (library.search, library.search_many, library.index):
            with pytest.raises(TypeError, match="foldre"):
                ask("a cat", **unknown)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda library: library.search("x", limt=0), "search has no option 'limt'.*mean limit?"),
        (lambda library: library.index("photos", exlude="x"), "no option 'exlude'.*mean exclude"),
        (lambda library: library.search("x", zzz=0), "search has no option 'zzz'; it has limit,"),
        (lambda library: library.search(3), "a query must be a str, .*not 3"),
        (lambda library: library.search({}), "a query must be"),
        (lambda library: library.search("x", "many"), "the limit must be a whole number, not 'ma"),
        (lambda library: library.search("x", 2.5), "the limit must be a whole number, not 2.5"),
        (lambda library: library.search("x", offset="a"), "the offset must be a whole number"),
        (lambda library: library.search("x", min_score="a"), "the minimum score must be a number"),
        (lambda library: library.search("x", filters="in:x"), "filters must be a Filters object"),
        (lambda library: library.search("x", folder=3), "a path must be a str or a Path, not 3"),
        (lambda library: library.search("x", without=3), "without must be a str or several"),
        (lambda library: library.search("x", without=""), "to subtract is empty"),
        (lambda library: library.search("x", templates=[3]), "templates must be a str or several"),
        (lambda library: library.search("x", options=3), "options must be a SearchOptions"),
        (lambda library: library.search_many(3), "a list of queries"),
        (lambda library: library.index(3), "paths must be a str, a Path or several, not 3"),
        (lambda library: library.index([3]), "a path must be a str or a Path, not 3"),
        (lambda library: library.index("photos", exclude=3), "exclude must be a str or several"),
        (lambda library: library.index("photos", model=3), "a path must be a str or a Path"),
        (lambda library: library.index("photos", workers=True), "workers must be a whole number"),
        (lambda library: library.index("photos", again="x"), "again must be True or False"),
        (lambda library: library.index("photos", options=3), "options must be an IndexOptions"),
        (lambda library: library.similar(3.5), "a path must be a str or a Path, not 3.5"),
        (lambda library: library.similar(1, "a"), "the limit must be a whole number"),
        (lambda library: library.tag(3, ["a", "b"]), "paths must be a str, a Path or several"),
        (lambda library: library.tag("photos", [3]), "labels must be a str or several, not 3"),
        (lambda library: library.duplicates("x"), "the threshold must be a number"),
        (lambda library: library.duplicates(filters={}), "filters must be a Filters object"),
        (lambda library: library.forget(3), "a path must be"),
        (lambda library: library.forget_model(3), "a path must be"),
        (lambda library: library.relocate("photos", 3), "a path must be"),
        (lambda library: library.export(3), "a path must be"),
        (lambda library: library.backup(3), "a path must be"),
        (lambda library: Library.open(3), "a path must be"),
        (lambda library: Library.open(library.folder, 3), "a path must be"),
    ],
)
def test_a_mistake_in_a_call_gets_a_sentence(indexed: Path, call: Any, said: str) -> None:
    with Library.open(indexed) as library, pytest.raises(InvalidValue, match=said):
        call(library)


def test_many_queries_share_the_options(indexed: Path) -> None:
    with Library.open(indexed) as library:
        queries = ["a cat", "a dog in:large"]
        found = library.search_many(iter(queries), 4, offset=1)
        alone = [library.search(query, 4, offset=1) for query in queries]
        assert [paths(matches) for matches in found] == [paths(matches) for matches in alone]
        assert library.search_many([]) == []
        with pytest.raises(InvalidQuery, match="empty"):
            library.search_many(["a dog", " "])


def test_a_list_in_search_still_works_and_names_search_many(indexed: Path) -> None:
    queries: Any = ["a cat", "a dog"]
    with Library.open(indexed) as library:
        with pytest.warns(DeprecationWarning, match="search_many") as told:
            found: Any = library.search(queries, limit=2)
        assert told[0].filename == __file__
        expected = library.search_many(queries, 2)
        assert [paths(matches) for matches in found] == [paths(matches) for matches in expected]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"limit": 0}, "at least 1"),
        ({"offset": -1}, "at least 0"),
        ({"min_score": float("nan")}, "nan"),
        ({"min_relevance": 1.5}, "between 0 and 1"),
        ({"rank": "beauty"}, "beauty"),
        ({"sort": "name"}, "name"),
        ({"templates": "no hole"}, "no hole"),
    ],
)
def test_search_options_that_make_no_sense(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidQuery, match=said):
        SearchOptions(**wrong)


def test_a_folder_goes_with_filters_unless_they_name_another() -> None:
    both = SearchOptions(folder="a", filters=Filters(after="2023"))
    assert both.where == Filters("a", after="2023")
    with pytest.raises(InvalidQuery, match="given twice"):
        _ = SearchOptions(folder="a", filters=Filters("b")).where


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": -1}, "workers must be a whole number from 0"),
        ({"workers": "x"}, "not 'x'"),
        ({"max_pixels": 1 << 63}, "not 9223372036854775808"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1"),
        ({"max_pixels": 0}, "max_pixels"),
        ({"precision": "int8"}, "int8"),
        ({"exclude": "["}, "not closed"),
    ],
)
def test_index_options_that_make_no_sense(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        IndexOptions(**wrong)


def test_one_pattern_may_be_a_plain_str(photos: Path) -> None:
    with Library.open("library") as library:
        assert library.index(photos, exclude="small", workers=0).new == 6


@pytest.mark.parametrize("one", ["red", b"red", bytearray(b"red")])
def test_one_query_is_no_list_of_queries(indexed: Path, one: Any) -> None:
    """Nor is a text three queries of a letter each."""
    with Library.open(indexed) as library, pytest.raises(InvalidQuery, match="use search for one"):
        library.search_many(one)
