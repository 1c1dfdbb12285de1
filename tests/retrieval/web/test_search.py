"""What is asked over HTTP is answered as on the command line."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from retrieval import Library
from retrieval.cli.main import cli
from retrieval.web.state import Site
from tests.retrieval.conftest import paint
from tests.retrieval.web.conftest import asked

Parameters = dict[str, Any]


def typed(*arguments: object, library: str = "photos") -> list[dict[str, Any]]:
    """What `retrieve … --json` prints."""
    result = CliRunner().invoke(cli, [*map(str, arguments), "--json", "--library", library])
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def answered(client: TestClient, at: str = "/api/search", **parameters: Any) -> Parameters:
    answer = client.get(at, params=parameters)
    assert answer.status_code == 200, answer.text
    held: Parameters = answer.json()
    return held


def are_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """But for what the command line does not print, and the last digit, which a scan by FAISS and
    one by NumPy may see differently.
    """
    for one, other in zip(found, expected, strict=True):
        for key, value in other.items():
            rounded = isinstance(value, float)
            assert one[key] == (pytest.approx(value, abs=1e-5) if rounded else value), key
    return True


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        (["a red car"], {"q": "a red car"}),
        (["2:a red car + .5:snow - leash"], {"q": "2:a red car + .5:snow - leash"}),
        (['"a + b" - c'], {"q": '"a + b" - c'}),
        (["./photos/large/blue.png"], {"q": "./photos/large/blue.png"}),
        (["a car - ./photos/large/blue.png"], {"q": "a car - ./photos/large/blue.png"}),
        (["id:3"], {"q": "id:3"}),
        (["a beach + 2:id:3 - id:5"], {"q": "a beach + 2:id:3 - id:5"}),
        (["a car in:small"], {"q": "a car in:small"}),
        (["a car", "--in", "small"], {"q": "a car", "in": "small"}),
        (["a car", "--format", "png", "--after", "2020", "--orientation", "landscape"],
         {"q": "a car format:png", "after": "2020", "orientation": "landscape"}),
        (["a car min-size:40x30 before:2100"], {"q": "a car", "min-size": "40x30",
                                               "before": "2100"}),
        (["a car", "--camera", "nobody's"], {"q": "a car", "camera": "nobody's"}),
        (["a car near:48,11,5"], {"q": "a car", "near": "48,11,5"}),
        (["a car", "--not", "leash", "--not", "a dog"], {"q": "a car", "not": ["leash", "a dog"]}),
        (["a car", "--template", "photo", "--template", "my {}"],
         {"q": "a car", "template": ["photo", "my {}"]}),
        (["a car", "--sort", "date"], {"q": "a car", "sort": "date"}),
        (["a car", "--rank", "cosine"], {"q": "a car", "rank": "cosine"}),
        (["a car", "--min-score", "0.0"], {"q": "a car", "min_score": 0}),
    ],
)  # fmt: skip
def test_the_same_as_on_the_command_line(
    client: TestClient, arguments: list[str], parameters: Parameters
) -> None:
    expected = typed("search", *arguments, "-n", 8)
    assert are_same(answered(client, limit=8, **parameters)["matches"], expected)


def test_an_upload_is_asked_for_as_its_file_is(client: TestClient, home: Path) -> None:
    for path in (paint(home / "new.png", "red", 99), home / "photos/large/green.png"):
        key = client.post("/api/uploads", content=path.read_bytes()).json()["key"]
        found = answered(client, q=f"upload:{key} - a leash", limit=5)["matches"]
        named = f"./{path.relative_to(home)} - a leash"
        assert are_same(found, typed("search", named, "-n", 5))
    for q, position in (("upload:nothing", 0), ("a dog + upload:nothing", 8)):
        refused = client.get("/api/search", params={"q": q})
        assert refused.status_code == 400 and refused.json()["position"] == position


@pytest.fixture
def folder_on_the_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=home)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_picture_on_the_network(
    local: TestClient, home: Path, folder_on_the_network: str
) -> None:
    paint(home / "new.png", "red", 99)
    (home / "none.png").write_text("no picture")
    url = f"{folder_on_the_network}/new.png"
    found = answered(local, q=f"a car + {url}", limit=5)["matches"]
    assert are_same(found, typed("search", f"a car + {url}", "-n", 5, "--allow-url"))
    refused = local.get("/api/search", params={"q": f"{folder_on_the_network}/none.png"})
    assert refused.status_code == 400 and "not a picture" in refused.json()["error"]


def test_similar_is_as_on_the_command_line(client: TestClient, indexed: Path) -> None:
    [red] = typed("search", indexed / "large/red.png", "-n", 1)
    expected = typed("similar", indexed / "large/red.png", "-n", 8, "--in", "small")
    at = f"/api/similar/{red['id']}"
    found = answered(client, at, limit=8, **{"in": "small"})
    assert are_same(found["matches"], expected)
    second = answered(client, at, limit=3, offset=3, **{"in": "small"})
    assert are_same(second["matches"], expected[3:6])
    assert client.get("/api/similar/9999").status_code == 400


def test_duplicates_are_as_on_the_command_line(client: TestClient) -> None:
    expected = typed("duplicates", "--threshold", 0.9)
    found = answered(client, "/api/duplicates", threshold=0.9)
    for group, printed in zip(found["groups"], expected, strict=True):
        assert are_same([group["keep"], *group["others"]], [printed["keep"], *printed["others"]])
    pictures = [one for group in expected for one in (group["keep"], *group["others"])]
    assert found["redundant_files"] == len(pictures) - len(expected) > 0
    assert all(one["size"] == Path(one["path"]).stat().st_size for one in pictures)
    assert found["threshold"] == 0.9
    inside = answered(client, "/api/duplicates", threshold=0.9, **{"in": "small"})
    assert inside["redundant_files"] < found["redundant_files"]


def test_pages_follow_each_other(client: TestClient) -> None:
    whole = answered(client, q="a car", limit=12)
    assert whole["next_offset"] is None or whole["next_offset"] == 12
    offset, seen = 0, []
    while offset is not None:
        page = answered(client, q="a car", limit=5, offset=offset)
        seen += page["matches"]
        offset = page["next_offset"]
    assert seen == whole["matches"] and len(seen) == 12
    assert client.get("/api/search", params={"q": "a", "offset": 9_999}).status_code == 400


def test_nothing_asked_lists_all_the_newest_first(client: TestClient) -> None:
    whole = answered(client)
    assert len(whole["matches"]) == 12 and not whole["empty"] and whole["next_offset"] is None
    assert {match["score"] for match in whole["matches"]} == {None}
    dates = [match["date"] for match in whole["matches"]]
    assert dates == sorted(dates, reverse=True)
    small = answered(client, q="in:small", format="png")
    assert [Path(match["path"]).parent.name for match in small["matches"]] == ["small"] * 7
    assert answered(client, limit=5, offset=10)["matches"] == whole["matches"][10:]
    assert answered(client, q="format:gif")["matches"] == []


def test_whether_it_looks_like_nothing(client: TestClient) -> None:
    for q in ("a car", "a dog", "qwertz"):
        found = answered(client, q=q)
        weak = all(match["strength"] == "weak" for match in found["matches"])
        assert found["looks_like_nothing"] == weak
    assert not answered(client, q="id:1")["looks_like_nothing"]  # of pictures it is not known


@pytest.mark.parametrize(
    ("parameters", "status", "said"),
    [
        ({"q": "a car + "}, 400, "nothing follows the sign"),
        ({"q": "-"}, 400, "nothing follows the sign"),
        ({"q": "a car + id:99"}, 400, "no picture 99"),
        ({"q": "./photos/nowhere.jpg"}, 400, "upload it"),
        ({"q": "http://example.org/a.jpg"}, 400, "--allow-url"),
        ({"q": "a car in:nowhere"}, 400, "not in the library"),
        ({"q": "a car", "after": "soon"}, 400, "after: 'soon' is not a valid date"),
        ({"q": "a car in:small", "in": "large"}, 400, "given twice"),
        ({"not": "a leash"}, 400, "the query is empty"),
        ({"q": "a car", "template": "no hole"}, 400, "no {}"),
        ({"q": "id:1", "min_relevance": 0.5}, 400, "plain-text queries"),
        ({"q": "a - a"}, 400, "cancel each other"),
        ({"q": "a", "min_score": "nan"}, 400, "must be a number"),
        ({"q": "a", "min_score": 2}, 400, "between -1 and 1"),
        ({"q": "a", "min_relevance": 0.5}, 400, "not measured"),
        ({"q": "a format:nope"}, 400, "not a known format"),
        ({"q": "a year:2023"}, 400, "did you mean"),
        ({"q": "a", "limit": 501}, 422, "limit"),
        ({"q": "a", "sort": "size"}, 422, "sort"),
    ],
)
def test_what_cannot_be_asked(
    client: TestClient, parameters: Parameters, status: int, said: str
) -> None:
    answer = client.get("/api/search", params=parameters)
    assert answer.status_code == status and said in answer.json()["error"]


def test_an_error_says_where(client: TestClient) -> None:
    answer = client.get("/api/search", params={"q": "a car + id:99"}).json()
    assert answer["position"] == 8 and "at character 9" in answer["error"]


def test_paths_are_looked_up_and_never_opened(client: TestClient, indexed: Path) -> None:
    known = indexed / "large/red.png"
    known.unlink()
    assert len(answered(client, q=str(known))["matches"]) == 12
    unknown = paint(indexed / "new.png", "red", 99)
    for q in (str(unknown), "/etc/passwd.png", "./photos/../../etc/shadow.png"):
        answer = client.get("/api/search", params={"q": q})
        assert answer.status_code == 400 and "is not in the library" in answer.json()["error"]
    assert answered(client, q="/etc/passwd")["matches"]  # words like others


def test_new_pictures_are_found_without_a_new_start(client: TestClient, indexed: Path) -> None:
    before = client.get("/api/status").json()
    new = paint(indexed / "new.png", "red", 99)
    with Library.open(indexed) as library:
        library.index(workers=0)
    after = client.get("/api/status").json()
    assert after["version"] != before["version"] and after["images"] == before["images"] + 1
    assert answered(client, q=str(new), limit=1)["matches"][0]["path"] == str(new)
    assert str(new) in [match["path"] for match in answered(client)["matches"]]
    new.unlink()
    with Library.open(indexed) as library:
        library.index(workers=0)
    assert client.get("/api/status").json()["version"] != after["version"]
    assert len(answered(client)["matches"]) == 12


def test_an_empty_library_is_no_error(home: Path) -> None:
    for client in asked(Site(Library.open(home / "none"))):
        for at in ("/api/search", "/api/search?q=a+car", "/api/search?q=id:1", "/api/similar/1"):
            found = client.get(at).json()
            assert found["empty"] and found["matches"] == [], at
        assert client.get("/api/duplicates").json() == {
            "groups": [],
            "redundant_files": 0,
            "left_out_files": 0,
            "threshold": 1.0,
        }
        assert client.get("/api/status").json()["model"] is None
        assert client.get("/api/folders").json() == []
        assert client.get("/api/failures").json() == {"failures": [], "total": 0}
        assert client.get("/api/facets").json()["cameras"] == []
        assert client.get("/api/pictures/1").status_code == 404
