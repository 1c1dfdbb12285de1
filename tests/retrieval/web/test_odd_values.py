"""Odd values in every field that the API takes: each is answered with a sentence, none with 5xx."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from fastapi.testclient import TestClient

from retrieval import Library
from retrieval.errors import CannotServe
from retrieval.locate import beside
from retrieval.web.app import application
from retrieval.web.server import serve
from retrieval.web.state import ServerSettings, Site
from tests.retrieval.web.conftest import ADDRESS, shown

LONG = "a" * 5_000
ODD = [
    *("", " ", "\0", "~", "~nosuchuser", "~nosuchuser/a.jpg", "~\0/a.jpg", "/\0.jpg", "/", ".."),
    *(LONG, f"/{LONG}", f"/{LONG}.jpg", f"~{LONG}/a.jpg", "/" + "a/" * 2_500, "http://[/a.jpg"),
    *("http://a:99999/", "http://a:b/", "nan", "inf", "-inf", "1e400", "9" * 5_000, "-1", "²", "٣"),
    *(str(2**31), str(2**63), str(2**64), "id:٣", "id:" + "9" * 30, "upload:\0", "-", "a -", '"'),
    *("in:", "in:~nosuchuser", "in:~\0/a", "in:\0", f"in:/{LONG}", "after:0000"),
    *("0000", "0001", "9999", "٢٠٢٣", "nan,nan,nan", "0,0,inf", "0,0,1e308", "90,180,0", ",,"),
    *("0x0", "999999999x999999999", "camera:\0", "\u0130", "\uffff", "\n", "\x1b[31m", "{0}", "{}"),
    *("a " * 3_000, "a + " * 3_000 + "a", "after:2023 " * 200, "e\u0301" * 3_000, "C:\\x.jpg"),
]
RAW = [b"\xff", b"/\xff.jpg", b"in:\xff", b"~\xff/x.jpg", b"\xed\xa0\x80"]  # not UTF-8
VALUES = [*(quote(value, safe="") for value in ODD), *map(quote_from_bytes, RAW)]
WIDE = {"~", "/", ".."}  # an index run of those would be of the whole machine


def fields() -> list[tuple[str, str, str]]:
    """Path, name and place of each parameter of what is asked with GET."""
    paths = application(Site(Library(Path("none")))).openapi()["paths"]
    return [
        (path, parameter["name"], parameter["in"])
        for path, methods in paths.items()
        for parameter in methods.get("get", {}).get("parameters", ())
    ]


def address(path: str, name: str, where: str, value: str) -> str:
    if where == "path":
        return path.replace(f"{{{name}}}", value)
    more = "" if name == "q" else "&q=red"
    return f"{path}?{name}={value}{more}".replace("{id}", "1").replace("{key}", "x")


@pytest.fixture
def site(indexed: Path) -> Site:
    return Site(Library.open(beside(indexed)), ServerSettings(allow_url=True))


@pytest.fixture
def frank(site: Site) -> Iterator[TestClient]:
    """A client that is answered, not raised at, when the server fails."""
    app = application(site)
    with TestClient(
        app, base_url=ADDRESS, headers=shown(site), raise_server_exceptions=False
    ) as client:
        yield client


def check(client: TestClient, method: str, at: str, **more: Any) -> None:
    answer = client.request(method, at, follow_redirects=False, **more)
    told = f"{method} {at[:80]} {str(more)[:80]}: {answer.status_code} {answer.text[:200]}"
    assert answer.status_code < 500 and "unexpected" not in answer.text, told
    if answer.status_code >= 400:
        assert answer.json()["error"], told


@pytest.mark.parametrize(("path", "name", "where"), fields())
def test_parameters(frank: TestClient, path: str, name: str, where: str) -> None:
    for value in VALUES:
        check(frank, "GET", address(path, name, where, value))


def test_bodies(frank: TestClient, site: Site) -> None:
    odd = [*(set(ODD) - WIDE), "\ud800", "/\udcff.jpg", 1, None, [], {}, True, 1.5]
    bodies = [json.dumps(body) for value in odd for body in ({"paths": [value]}, {"paths": value})]
    for body in (*bodies, "", "{", "[" * 60_000, "nul", '{"paths": [' + "9" * 5_000 + "]}"):
        for kind in ("application/json", "multipart/form-data", "x/y"):
            check(frank, "POST", "/api/index", content=body, headers={"Content-Type": kind})
    check(frank, "POST", "/api/index", content=b'{"paths": ["\xff"]}')
    site.index_jobs.close()


def test_headers(frank: TestClient) -> None:
    names = ("Origin", "Host", "Authorization", "Cookie", "Range", "If-Range", "If-None-Match")
    odd = [value.encode() for value in ODD if not {"\0", "\n"} & {*value}]
    for name in (*names, "Content-Type", "Content-Length", "If-Modified-Since", "X-Retrieve"):
        for value in (*odd, *RAW, b"bytes=9-1", b"bytes=" + b"0-0," * 999, b"[::1", b"a=\xff"):
            for at in ("/api/pictures/1/original", "/"):
                answer = frank.get(at, headers={name: value}, follow_redirects=False)
                assert answer.status_code < 500, (name, value[:80], at)


@pytest.mark.parametrize(
    "asked",
    [
        {"q": " + ".join("abcdefghij" * 4), "template": ["{} a", "{} b"] * 20},
        {"q": "a" * 2_000, "template": ["{}" * 1_000]},
        {"q": "red", "not": ["a"] * 1_100},
    ],
)
def test_the_sentences_of_a_query_are_bounded(frank: TestClient, asked: dict[str, Any]) -> None:
    answer = frank.get("/api/search", params=asked)
    assert answer.status_code == 400 and "the limit is 1,0" in answer.json()["error"]


def test_a_token_is_text(indexed: Path) -> None:
    with Library.open(beside(indexed)) as library, pytest.raises(CannotServe, match="UTF-8"):
        serve(library, ServerSettings(token="\udcff"), 0, lambda *_: None)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("search?q=red&limt=3", "limt: there is no such parameter; did you mean limit?"),
        ("search?q=red&min_size=9x9", "did you mean min-size?"),
        ("search?query=red", "query: there is no such parameter; known are after, before, "),
        ("search?q=red&q=blue", "q: it is given 2 times"),
        ("duplicates?treshold=1", "did you mean threshold?"),
        ("similar/1?q=red", "q: there is no such parameter"),
        ("pictures/1/thumbnail?larg=1", "did you mean large?"),
        ("status?x=1", "x: there is no such parameter; this address takes none"),
        ("search?limit=many", "limit: must be a whole number"),
        ("search?limit=501", "limit: must be at most 500"),
        ("search?offset=-1", "offset: must be at least 0"),
        ("search?sort=size", "sort: must be 'score' or 'date'"),
        ("duplicates?threshold=x", "threshold: must be a number"),
    ],
)
def test_parameters_are_known_or_refused(frank: TestClient, asked: str, said: str) -> None:
    answer = frank.get(f"/api/{asked}")
    assert answer.status_code == 422 and said in answer.json()["error"]


def test_lists_may_be_given_more_than_once(frank: TestClient) -> None:
    assert frank.get("/api/search?q=red&not=a&not=b&template={}&template=a {}").status_code == 200


def test_an_unknown_field_of_a_body_does_not_index_everything(
    frank: TestClient, site: Site
) -> None:
    for body in ({"path": ["/nowhere"]}, {"paths": [], "pths": []}):
        answer = frank.post("/api/index", json=body)
        assert answer.status_code == 422 and "did you mean paths?" in answer.json()["error"]
    assert frank.post("/api/index", json={"paths": "x"}).json()["error"] == "paths: must be a list"
    assert not site.index_jobs.last
