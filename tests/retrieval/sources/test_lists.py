"""Lists of addresses: read in every form, fetched politely, asked again only for what is new."""

import csv
import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog.reading import Catalog
from retrieval.errors import FailureCode, InvalidValue, UnreadablePicture
from retrieval.indexing.targets import add_lists, named
from retrieval.records import MAX_INTEGER
from retrieval.sources.address_list import AddressList, ListedAddress, ListOptions
from retrieval.sources.web import guest as manners
from retrieval.sources.web.guest import Guest, as_ascii, directives
from tests.retrieval.small import as_counts, contents, paint, run_index

ROWS = [
    {"url": "http://a.example/1.jpg", "caption": "one", "status": "success"},
    {"url": "ftp://a.example/2.jpg", "caption": "two"},
    {"url": " http://a.example/1.jpg ", "caption": "again"},
    {"url": "https://ä.example/3.jpg?x=1", "caption": None},
]


def written(form: str) -> bytes:
    if form == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pytest.importorskip("pyarrow").Table.from_pylist(ROWS)
        sink = io.BytesIO()
        parquet.write_table(table, sink)
        return sink.getvalue()
    if form == "jsonl":
        return "\n".join(map(json.dumps, ROWS)).encode()
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["url", "caption", "status"], delimiter="\t" if form == "tsv" else ","
    )
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode("utf-8-sig")


def rows(data: bytes, name: str, **how: Any) -> list[ListedAddress]:
    return list(AddressList(io.BytesIO(data), name, ListOptions(**how)).rows())


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_every_form_gives_the_same_rows(form: str) -> None:
    held = AddressList(io.BytesIO(written(form)), f"list.{form}", ListOptions())
    found = list(held.rows())
    assert [each.url for each in found] == ["http://a.example/1.jpg", "https://ä.example/3.jpg?x=1"]
    assert held.unusable == 1 and held.repeated == 1
    assert found[0].facts and [each.text for each in found[0].facts.wordings] == ["one"]
    assert found[1].facts is None


def test_columns_are_chosen_and_missing_ones_named() -> None:
    data = b"Link,Alt,text\nhttp://a/1.jpg,an alt,a text\n"
    [row] = rows(data, "x.csv", url_column="link", caption_column="ALT")
    assert row.facts and [each.text for each in row.facts.wordings] == ["an alt"]
    with pytest.raises(UnreadablePicture, match="no column 'url', only Link, Alt, text"):
        rows(data, "x.csv")
    for name, broken in (("x.jsonl", b'{"url": 1\n'), ("x.jsonl", b"[1]"), ("x.parquet", b"PAR1")):
        with pytest.raises(UnreadablePicture):
            rows(broken, name)


@pytest.mark.parametrize(
    "data",
    [
        b"url;caption\nhttp://a.example/1.jpg;one, two\n",
        b'url , caption\nhttp://a.example/1.jpg, "one, two"\n'.replace(b', "', b',"'),
        b'"url","caption"\rhttp://a.example/1.jpg,"one, two"\r',
    ],
)
def test_forms_of_csv(data: bytes) -> None:
    [row] = rows(data, "x.csv")
    assert row.facts and [each.text for each in row.facts.wordings] == ["one, two"]


def test_an_empty_list_is_said_to_be_empty() -> None:
    with pytest.raises(UnreadablePicture, match="the list is empty"):
        rows(b"", "x.csv")


def test_a_column_that_is_not_utf_8_is_damage() -> None:
    pyarrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    ends = pyarrow.array([0, 2], pyarrow.int32()).buffers()[1]
    text = pyarrow.Array.from_buffers(
        pyarrow.string(), 1, [None, ends, pyarrow.py_buffer(b"\xff\xfe")]
    )
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table({"url": ["http://a.example/"], "caption": text}), sink)
    with pytest.raises(UnreadablePicture, match="cannot be read as parquet"):
        rows(sink.getvalue(), "x.parquet")


def test_addresses_with_passwords_are_left_out() -> None:
    data = b"url\nhttp://anna:secret@a.example/1.jpg\nhttps://a.example/@2.jpg?mail=a@b\n"
    held = AddressList(io.BytesIO(data), "x.csv", ListOptions())
    assert [row.url for row in held.rows()] == ["https://a.example/@2.jpg?mail=a@b"]
    assert held.unusable == 1
    for address in ("https://anna:secret@a.example/photos", "sftp://anna:secret@a.example/photos"):
        with pytest.raises(InvalidValue, match="leave out the user") as error:
            named(None, [address])
        assert "secret" not in str(error.value)


class Host(BaseHTTPRequestHandler):
    """A host with pictures, and rules."""

    pictures: dict[str, bytes]
    asked: Counter[str]
    robots = (200, "User-agent: retrieve\nDisallow: /private/\n\nUser-agent: *\nAllow: /\n")
    busy: Counter[str]

    def do_GET(self) -> None:
        type(self).asked[self.path] += 1
        if self.path == "/robots.txt":
            self.answer(self.robots[0], self.robots[1].encode())
        elif self.busy[self.path] > 0:
            type(self).busy[self.path] -= 1
            self.answer(503, b"", {"Retry-After": "0"})
        elif self.path == "/to/secret":
            self.answer(302, b"", {"Location": "http://anna:secret@127.0.0.1/"})
        elif self.path == "/short":
            self.answer(200, b"1234", {"ETag": '"1"', "Content-Length": "10"})
        elif self.path == "/year-9999":
            self.answer(200, b"1", {"Last-Modified": "Fri, 31 Dec 9999 23:59:59 GMT"})
        elif self.path.startswith("/to/"):
            self.answer(302, b"", {"Location": self.path.removeprefix("/to")})
        elif (data := self.pictures.get(self.path)) is None:
            self.answer(404, b"")
        elif self.headers.get("If-None-Match") == f'"{hash(data)}"':
            self.answer(304, b"")
        else:
            tags = {"X-Robots-Tag": "otherbot: noindex, noai"} if "noai" in self.path else {}
            self.answer(200, data, {"ETag": f'"{hash(data)}"', **tags})

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 304 and "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    manners.visitor.cache_clear()
    Host.pictures, Host.asked, Host.busy = {}, Counter(), Counter()
    monkeypatch.setattr(Host, "robots", Host.robots)
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def visitor() -> Guest:
    return Guest(2, private=True, seconds=20.0, most=100_000)


def refusal(visitor: Guest, url: str) -> tuple[FailureCode, str]:
    with pytest.raises(UnreadablePicture) as error:
        visitor.fetch(url)
    return error.value.code, str(error.value)


def test_what_is_unchanged_is_not_sent_again(host: str, visitor: Guest) -> None:
    Host.pictures["/a.jpg"] = b"first"
    first = visitor.fetch(f"{host}/a.jpg")
    assert first.data == b"first" and first.version
    assert visitor.fetch(f"{host}/a.jpg", first.version).data is None
    Host.pictures["/a.jpg"] = b"second"
    assert visitor.fetch(f"{host}/a.jpg", first.version).data == b"second"
    assert Host.asked["/robots.txt"] == 1


def test_rules_of_hosts_are_obeyed(host: str, visitor: Guest) -> None:
    Host.pictures.update({"/private/a.jpg": b"1", "/noai.jpg": b"2"})
    assert refusal(visitor, f"{host}/private/a.jpg") == (
        FailureCode.REFUSED,
        "its host's robots.txt forbids it",
    )
    assert Host.asked["/private/a.jpg"] == 0
    assert refusal(visitor, f"{host}/noai.jpg")[0] is FailureCode.REFUSED
    assert refusal(visitor, f"{host}/nothing.jpg")[0] is FailureCode.NOT_FOUND


@pytest.mark.parametrize(("status", "is_allowed"), [(404, True), (403, True), (500, False)])
def test_hosts_without_rules(host: str, visitor: Guest, status: int, is_allowed: bool) -> None:
    Host.robots = (status, "")
    Host.pictures["/a.jpg"] = b"1"
    if is_allowed:
        assert visitor.fetch(f"{host}/a.jpg").data == b"1"
    else:
        assert refusal(visitor, f"{host}/a.jpg")[0] is FailureCode.REFUSED


def test_a_busy_host_is_asked_again_and_size_is_bounded(host: str, visitor: Guest) -> None:
    Host.pictures.update({"/a.jpg": b"1", "/large.jpg": bytes(200_000)})
    Host.busy["/a.jpg"] = 2
    assert visitor.fetch(f"{host}/a.jpg").data == b"1" and Host.asked["/a.jpg"] == 3
    Host.busy["/a.jpg"] = 9
    assert refusal(visitor, f"{host}/a.jpg")[0] is FailureCode.UNREADABLE
    assert "larger than 100,000 bytes" in refusal(visitor, f"{host}/large.jpg")[1]


def test_what_ends_too_early_is_not_kept(host: str, visitor: Guest) -> None:
    """It would be a picture of half the height, and its ETag would say that nothing is new."""
    code, said = refusal(visitor, f"{host}/short")
    assert not code.is_lasting and "ended 6 bytes too early" in said


def test_dates_fit_into_a_catalog(host: str, visitor: Guest) -> None:
    assert visitor.fetch(f"{host}/year-9999").modified_ns == MAX_INTEGER


def test_messages_of_redirects_are_one_line_without_passwords(host: str, visitor: Guest) -> None:
    assert "secret@" not in refusal(visitor, f"{host}/to/secret")[1]
    Host.pictures = {}
    assert "\n" not in refusal(visitor, f"{host}/to/to/to/to/to/to/to/to/to/to/x")[1]


def test_private_addresses_are_refused_unless_allowed(host: str) -> None:
    Host.pictures["/a.jpg"] = b"1"
    public = Guest(2, private=False, seconds=20.0, most=1_000)
    for url in (f"{host}/a.jpg", host.replace("127.0.0.1", "localhost") + "/a.jpg"):
        assert "not a public address" in refusal(public, url)[1]
    assert Host.asked.total() == 0


def test_addresses_are_written_in_ascii() -> None:
    assert as_ascii("http://bücher.example/ä b.jpg?q=é#x") == (
        "http://xn--bcher-kva.example/%C3%A4%20b.jpg?q=%C3%A9"
    )
    assert as_ascii("http://a/%20x%2F?a=b&c=%41") == "http://a/%20x%2F?a=b&c=%41"


def test_tags_for_others_are_not_for_us() -> None:
    from email.message import Message

    headers = Message()
    headers["X-Robots-Tag"] = "otherbot: noindex"
    headers["X-Robots-Tag"] = "retrieve: noarchive, nofollow"
    assert directives(headers) == {"noarchive", "nofollow"}


@pytest.fixture
def listed(host: str, base: Path) -> Path:
    """A list of four pictures, one of which is not there."""
    for seed in range(3):
        Host.pictures[f"/{seed}.png"] = paint(base / f"{seed}.png", seed).read_bytes()
    lines = [f"{host}/{seed}.png,picture {seed}" for seed in range(4)]
    (base / "lists").mkdir()
    (base / "lists/urls.csv").write_text("\n".join(["url,caption", *lines]))
    return base / "lists/urls.csv"


def index(catalog: Catalog, *paths: Path, **more: Any) -> dict[str, int]:
    add_lists(catalog, paths, {"allow_private": True})
    return as_counts(run_index(catalog, named(catalog, paths) if paths else [], **more))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_fetches_what_is_new(catalog: Catalog, listed: Path, host: str, workers: int) -> None:
    assert index(catalog, listed, workers=workers) == {"new": 3, "failed": 1, "encoded": 3}
    held = {path: each for path, each in contents(catalog).items() if not isinstance(each, str)}
    assert all(path.startswith(f"{listed}/http://") for path in held) and len(held) == 3
    images = catalog.images.by_id([1, 2, 3])
    assert {str(image.paths[0]) for image in images.values()} == {
        f"{host}/{seed}.png" for seed in range(3)
    }
    [failed] = catalog.files.failures()
    assert (str(failed.path), failed.code) == (f"{host}/3.png", FailureCode.NOT_FOUND)
    assert len(catalog.images.wordings(1)) == 1
    Host.asked.clear()
    assert index(catalog) == {"unchanged": 4} and Host.asked["/3.png"] == 0
    Host.pictures["/0.png"] = Host.pictures["/1.png"]
    lines = listed.read_text().splitlines()
    listed.write_text("\n".join(lines[:3] + lines[4:]))
    counts = index(catalog)
    assert counts["changed"] == 1 and counts["removed"] == 1 and counts["unchanged"] == 2
    assert catalog.containers.within(1, b"")[0].kind == "list"


def test_a_caption_that_has_changed_replaces_the_old_one(
    catalog: Catalog, listed: Path, host: str
) -> None:
    index(catalog, listed)
    listed.write_text(listed.read_text().replace("picture 1", "another"))
    assert index(catalog) == {"unchanged": 4}
    said = {each.text for id in (1, 2, 3) for each in catalog.images.wordings(id)}
    assert said == {"picture 0", "another", "picture 2"}


def test_without_leave_private_addresses_are_failures(catalog: Catalog, listed: Path) -> None:
    summary = run_index(catalog, named(catalog, [listed]))
    assert as_counts(summary) == {"failed": 4}
    assert all("not a public address" in each.reason for each in catalog.files.failures())
    assert Host.asked.total() == 0


def test_a_list_without_the_column_says_so(catalog: Catalog, base: Path) -> None:
    (base / "x.csv").write_text("link\nhttp://a/1.jpg\n")
    summary = run_index(catalog, named(catalog, [base / "x.csv"]))
    assert summary.failed == 1 and "no column 'url'" in summary.problems[0]
