"""Who may ask, and how; and what no request reaches."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from retrieval import Library
from retrieval.locate import beside
from retrieval.web.app import application
from retrieval.web.state import ServerSettings, Site

OURS = {"X-Retrieve": "1"}
TOKEN = "a secret"


SECRET = "known to whoever started it"
OWNER = {"Authorization": f"Bearer {SECRET}"}
GUEST = {"Authorization": f"Bearer {TOKEN}"}


def serving(indexed: Path, settings: ServerSettings, **headers: str) -> Iterator[TestClient]:
    app = application(Site(Library.open(beside(indexed)), settings))
    client = TestClient(
        app, base_url="http://127.0.0.1:8000", follow_redirects=False, headers=headers
    )
    with client:
        yield client


@pytest.fixture
def plain(indexed: Path) -> Iterator[TestClient]:
    """A program of whoever started the server."""
    yield from serving(indexed, ServerSettings(names=("pictures.lan",), secret=SECRET), **OWNER)


@pytest.fixture
def closed(indexed: Path) -> Iterator[TestClient]:
    """A server for a whole network, with a token."""
    yield from serving(indexed, ServerSettings(host="0.0.0.0", token=TOKEN, secret=SECRET))


@pytest.fixture
def proxied(indexed: Path) -> Iterator[TestClient]:
    """A server behind a proxy on its own machine, by the name that the proxy is called."""
    yield from serving(
        indexed, ServerSettings(names=("pictures.example",), token=TOKEN, secret=SECRET)
    )


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8000", 200),
        ("pictures.lan:8000", 200),
        ("evil.example", 403),
        ("evil.example:8000", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1@evil.example", 403),
        ("192.168.1.5", 403),
        ("", 403),
    ],
)
def test_only_by_our_names(plain: TestClient, host: str, status: int) -> None:
    for at in ("/api/status", "/", "/page/app.js", "/nowhere"):
        answer = plain.get(at, headers={"Host": host})
        assert (answer.status_code == 403) == (status == 403), at


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, 403),
    ],
)
def test_not_from_pages_of_others(plain: TestClient, headers: dict[str, str], status: int) -> None:
    assert plain.get("/api/status", headers=headers).status_code == status


def test_a_link_from_elsewhere_leads_to_the_page(plain: TestClient) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert plain.get("/", headers=link).status_code == 200


def test_what_changes_something_needs_our_header(plain: TestClient) -> None:
    for method, at in (("POST", "/api/uploads"), ("POST", "/api/index"), ("DELETE", "/api/index")):
        assert plain.request(method, at).status_code == 403
        assert plain.request(method, at, headers=OURS).status_code != 403
    asked_leave = plain.options(
        "/api/uploads",
        headers={
            "Origin": "http://127.0.0.1:8000",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-retrieve",
        },
    )
    assert "access-control-allow-origin" not in asked_leave.headers


def test_without_the_token_nothing_is_told(closed: TestClient) -> None:
    for at in (
        "/api/status",
        "/",
        "/page/app.js",
        "/api/openapi.json",
        "/?token=wrong",
        "/nowhere",
    ):
        answer = closed.get(at)
        assert answer.status_code == 401 and "token" in answer.json()["error"], at
    for said in ("Bearer wrong", TOKEN, "Basic " + TOKEN, "Bearer ", "Bearer \xff"):
        answer = closed.get("/api/status", headers={"Authorization": said.encode("latin-1")})
        assert answer.status_code == 401
    assert closed.get("/api/status", headers=GUEST).status_code == 200
    assert closed.post("/api/index", headers=GUEST).status_code == 403


def test_the_token_in_the_address_becomes_a_cookie(closed: TestClient) -> None:
    welcome = closed.get("/", params={"token": TOKEN, "q": "a red car"})
    assert welcome.status_code == 303 and welcome.headers["location"] == "/?q=a+red+car"
    cookie = welcome.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    assert closed.get("/api/status").status_code == 200  # the client keeps cookies
    assert closed.get("/api/status", headers={"Host": "192.168.1.5:8000"}).status_code == 200
    assert closed.get("/api/status", headers={"Host": "evil.example"}).status_code == 403


OWNERS_ALONE = (
    ("POST", "/api/index", {"paths": ["/"]}),
    ("POST", "/api/index", {}),
    ("DELETE", "/api/index", None),
    ("POST", "/api/pictures/1/reveal", None),
)


def test_only_the_secret_of_the_run_is_good_for_what_concerns_this_machine(
    proxied: TestClient,
) -> None:
    """To a server behind a proxy all requests are local, and say what they like."""
    forwarded = {"Host": "pictures.example", "X-Forwarded-For": "127.0.0.1", "X-Real-IP": "::1"}
    for given in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "retrieve-8000=wrong"}):
        for method, at, body in OWNERS_ALONE:
            answer = proxied.request(method, at, json=body, headers=OURS | forwarded | given)
            assert answer.status_code == 401, (at, given)
    for method, at, body in OWNERS_ALONE:
        answer = proxied.request(method, at, json=body, headers=OURS | forwarded | GUEST)
        assert answer.status_code == 403 and "needs the secret" in answer.json()["error"], at
    told = proxied.get("/api/status", headers=forwarded | GUEST).json()
    assert (told["can_index"], told["can_reveal"]) == (False, False)
    assert proxied.get("/api/status", headers=OWNER).json()["can_index"]
    assert proxied.delete("/api/index", headers=OURS | OWNER).status_code == 202


def test_without_a_token_nobody_else_sees_anything(indexed: Path) -> None:
    """Another user of this machine, say, who can reach the port as well."""
    for client in serving(indexed, ServerSettings()):
        for at in ("/", "/api/status", "/api/search?q=a", "/api/pictures/1/original"):
            assert client.get(at).status_code == 401, at


def test_an_open_server_shows_pictures_and_does_nothing_else(indexed: Path) -> None:
    for client in serving(indexed, ServerSettings(is_open=True, secret=SECRET)):
        assert client.get("/api/search?q=a").status_code == 200
        for method, at, body in OWNERS_ALONE:
            assert client.request(method, at, json=body, headers=OURS).status_code == 403, at
        assert client.get("/api/status", headers=OWNER).json()["can_index"]
        visit = client.get("/", params={"token": SECRET})
        assert visit.status_code == 303 and "set-cookie" in visit.headers
        assert client.get("/api/status").json()["can_index"]


def test_a_visitor_without_the_token_is_told_on_a_page(closed: TestClient) -> None:
    visit = closed.get("/", headers={"accept": "text/html,*/*"})
    assert visit.status_code == 401 and visit.headers["content-type"].startswith("text/html")
    assert "retrieve serve" in visit.text and TOKEN not in visit.text
    assert closed.get("/api/status", headers={"accept": "text/html"}).json()["error"]


def test_a_guest_s_cookie_outlives_the_browser(closed: TestClient) -> None:
    """The token stays the same, unlike the secret of a run."""
    welcome = closed.get(f"/?token={TOKEN}", follow_redirects=False)
    assert "Max-Age=" in welcome.headers["set-cookie"]


def test_cookies_are_told_apart_by_the_port(closed: TestClient) -> None:
    welcome = closed.get("/", params={"token": SECRET})
    name = welcome.headers["set-cookie"].partition("=")[0]
    assert name == "retrieve-8000"


def test_headers_of_every_answer(plain: TestClient) -> None:
    for at in ("/", "/page/app.js", "/api/status", "/api/nowhere", "/api/search?limit=0"):
        headers = plain.get(at).headers
        assert "default-src 'none'" in headers["content-security-policy"], at
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert plain.get("/api/status").headers["cache-control"] == "no-store"
    page = plain.get("/page/app.js")
    assert page.headers["cache-control"] == "no-cache" and "etag" in page.headers
    assert page.headers["content-type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "at",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e/app.py",
        "/page//etc/passwd",
        "/page/..%5capp.py",
        "/api/pictures/..%2f..%2fetc%2fpasswd/original",
        "/api/pictures/0/original",
        "/api/pictures/-1/original",
        "/api/uploads/..%2f..%2f/thumbnail",
        "/etc/passwd",
    ],
)
def test_no_way_out(plain: TestClient, at: str) -> None:
    answer = plain.get(at)
    assert answer.status_code in (404, 422) and "error" in answer.json()


def test_private_addresses_are_not_asked(indexed: Path) -> None:
    for client in serving(indexed, ServerSettings(allow_url=True, is_open=True)):
        for host in ("127.0.0.1:1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "0.0.0.0"):
            answer = client.get("/api/search", params={"q": f"http://{host}/a.png"})
            assert answer.status_code == 400, host
            assert "not a public address" in answer.json()["error"]
