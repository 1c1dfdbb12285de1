"""The whole way beyond one machine: a bucket, a tar shard and a shared folder, encoded on two Ray
nodes, recorded in PostgreSQL, searched in Milvus. It answers as a plain library of the same
pictures does.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from retrieval import Filters, Library
from retrieval.records import Match
from retrieval.vectors.opening import address_of
from retrieval.web.app import application
from retrieval.web.state import Site
from tests.retrieval import postgres
from tests.retrieval.conftest import Models, paint, paint_photos
from tests.retrieval.indexing.cluster.conftest import Nodes
from tests.retrieval.sources.conftest import bucket, files_of, s3
from tests.retrieval.sources.test_tar_shard import pack
from tests.retrieval.web.conftest import ADDRESS, shown

__all__ = ["bucket", "s3"]  # fixtures, here as well

pytestmark = pytest.mark.xdist_group("ray")

WIDE = Filters(orientation="landscape")


@pytest.fixture
def pictures(home: Path) -> Path:
    """Pictures in three folders; two of them are identical, and two stand upright."""
    folder = paint_photos(home / "photos")
    (folder / "notes.jpg").unlink()
    (folder / "small" / "red again.png").unlink()
    shared = folder / "shared"
    for number in range(2):
        upright = paint(shared / f"upright {number}.png", "pink", 100 + number)
        rotated(upright)
    shutil.copy(shared / "upright 0.png", shared / "upright 0 copy.png")
    return folder


def rotated(path: Path) -> None:
    from PIL import Image

    with Image.open(path) as picture:
        upright = picture.transpose(Image.Transpose.ROTATE_90)
    upright.save(path)


@pytest.fixture
def alone(pictures: Path, home: Path) -> Iterator[Library]:
    with Library.open(home / "alone") as library:
        library.index(pictures, workers=1, precision="fp32")
        yield library


@pytest.fixture
def beyond(
    pictures: Path,
    home: Path,
    nodes: Nodes,
    milvus: str,
    s3: str,
    bucket: str,
    models: Models,
) -> Iterator[Library]:
    address = f"s3://{bucket}/holiday"
    for path in (pictures / "large").iterdir():
        files_of(s3).pipe(f"{address}/{path.name}", path.read_bytes())
    members = {path.name: path.read_bytes() for path in (pictures / "small").iterdir()}
    shard = pack(home / "shards" / "00000.tar", members)
    with Library.open(postgres.new_place().secret) as library:
        summary = library.index(
            [address, shard, pictures / "shared"],
            ray=nodes.address,
            precision="fp32",  # a few pictures are encoded so without a cluster
            vectors=milvus,
            # The nodes do not have this process's environment.
            storage_options={"endpoint_url": s3, "key": "testing", "secret": "testing"},
        )
        assert (summary.new, summary.copied, summary.encoded) == (14, 1, 14), summary
        assert not summary.failed and not summary.problems
        assert address_of(library.catalog)
        yield library


def named(matches: Iterable[Match]) -> list[tuple[str, float]]:
    """Names without folders, and scores."""
    return [(match.path.name, pytest.approx(match.score, abs=2e-3)) for match in matches]


@pytest.mark.slow
def test_answers_are_those_of_a_plain_library(
    alone: Library, beyond: Library, pictures: Path
) -> None:
    for query in ("a red spot", "blue - green", pictures / "large" / "green.png"):
        for filters in (None, WIDE, Filters(folder=pictures / "shared")):
            expected = alone.search(query, 5, filters=filters)
            assert len(expected) == (2 if filters and filters.folder else 5)
            found = beyond.search(query, 5, filters=filters)
            assert [(m.path.name, m.score) for m in found] == named(expected), (query, filters)

    [group] = beyond.duplicates(1.0)
    [expected_group] = alone.duplicates(1.0)
    assert group.kept.path == expected_group.kept.path
    assert [each.path for each in group.others] == [each.path for each in expected_group.others]

    site = Site(beyond)
    with TestClient(application(site), base_url=ADDRESS, headers=shown(site)) as client:
        page = client.get("/api/search", params={"q": "a red spot", "limit": 5}).json()
        expected = alone.search("a red spot", 5)
        assert [Path(each["path"]).name for each in page["matches"]] == [
            match.path.name for match in expected
        ]
        for each in page["matches"]:  # of the bucket, of the shard, of the folder
            thumbnail = client.get(f"/api/pictures/{each['id']}/thumbnail")
            assert thumbnail.status_code == 200 and thumbnail.content[8:12] == b"WEBP"

    again = beyond.index(ray="127.0.0.1:9")  # nothing is new, so that no cluster is needed
    assert (again.unchanged, again.new, again.encoded) == (15, 0, 0)
