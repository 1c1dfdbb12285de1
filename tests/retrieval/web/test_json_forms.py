"""One noun, one JSON form: what the API answers with is what the command line prints, noun by noun.

The API puts keys of its own around a noun (pages, rights), which the command line has no use for.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient

from retrieval.cli.main import cli
from retrieval.web.schemas import ServerStatus

OF_THE_SERVER = {
    "last_run",
    "version",
    "version_of_program",
    "can_reveal",
    "can_index",
    "allow_url",
}


def printed(*arguments: str) -> Any:
    """What `retrieve … --json` prints."""
    result = CliRunner().invoke(cli, [*arguments, "--json", "--library", "photos"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def answered(client: TestClient, at: str) -> Any:
    answer = client.get(at)
    assert answer.status_code == 200, answer.text
    return answer.json()


def same(one: object, other: object) -> bool:
    """Equal, with the same keys in the same order; but for the last digit of a score."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert list(one) == list(other)
        return all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == (pytest.approx(other, abs=1e-5) if isinstance(other, float) else other)


@pytest.fixture(autouse=True)
def prepared(client: TestClient) -> None:
    """The first search of a process may be scanned for in another way than the next ones."""
    answered(client, "/api/search?q=anything")


def test_status(client: TestClient) -> None:
    held, said = answered(client, "/api/status"), printed("status")
    assert held.keys() - said.keys() == OF_THE_SERVER
    assert held.keys() == ServerStatus.__annotations__.keys()
    assert same({key: held[key] for key in said}, said)


def test_matches(client: TestClient) -> None:
    found = answered(client, "/api/search?q=a+red+car&limit=10")
    assert same(found["matches"], printed("search", "a red car"))


def test_matches_like_one(client: TestClient) -> None:
    [red] = printed("search", "photos/large/red.png", "-n", "1")
    found = answered(client, f"/api/similar/{red['id']}?limit=5")
    assert same(found["matches"], printed("similar", "photos/large/red.png", "-n", "5"))


def test_a_listed_picture_and_its_details_are_matches_without_a_score(client: TestClient) -> None:
    by_id = {match["id"]: match for match in printed("search", "a red car", "-n", "100")}
    for listed in answered(client, "/api/search")["matches"]:
        match = by_id[listed["id"]] | {"score": None, "relevance": None, "strength": None}
        assert same(listed, match)
        details = answered(client, f"/api/pictures/{listed['id']}")
        assert same({key: details[key] for key in listed}, listed)


def test_duplicates(client: TestClient) -> None:
    held = answered(client, "/api/duplicates?threshold=0.9")
    said = printed("duplicates", "--threshold", "0.9")
    assert held.keys() == {"groups", "redundant_files", "left_out_files", "threshold"}
    assert said and same(held["groups"], said)
    assert held["redundant_files"] == sum(len(group["others"]) for group in said)


def test_failures(client: TestClient) -> None:
    held, said = answered(client, "/api/failures"), printed("status", "--failures")
    assert said and same(held["failures"], said) and held["total"] == len(said)


def test_tags_have_the_path_of_a_match(client: TestClient) -> None:
    """The server has no tags; what it would serve is what is printed."""
    Path("labels.txt").write_text("red\nblue\n")
    [tagged] = printed("tag", "photos/large/red.png", "--labels", "labels.txt")
    assert list(tagged) == ["path", "labels"] and sum(tagged["labels"].values()) == pytest.approx(1)
