"""Stores beside S3: Google's, and those whose driver is not installed."""

import sys
from pathlib import Path

import pytest

from retrieval.catalog.reading import Catalog
from retrieval.errors import SourceUnavailable
from retrieval.indexing.targets import named
from retrieval.sources import remote
from tests.retrieval.small import as_counts, contents, paint, run_index
from tests.retrieval.sources.google import storage
from tests.retrieval.sources.test_tar_shard import pack


def test_a_bucket_of_google(catalog: Catalog, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It would ask for the kind of bucket by gRPC, which only Google answers.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    pytest.importorskip("gcsfs")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with storage() as (endpoint, held):
        pictures = [paint(base / f"{seed}.png", seed).read_bytes() for seed in range(4)]
        held.objects |= {"photos/0.png": pictures[0], "photos/in the/ä.png": pictures[1]}
        held.objects |= {"photos/notes.txt": b"none", "other/2.png": pictures[2]}
        options = [f"endpoint_url={endpoint}", "token=anon"]
        found = named(catalog, "gs://bucket/photos", options)
        assert as_counts(run_index(catalog, found)) == {"new": 2, "encoded": 2}
        assert sorted(contents(catalog)) == [
            "gs://bucket/photos/0.png",
            "gs://bucket/photos/in the/ä.png",
        ]
        assert sorted(held.reads) == ["photos/0.png", "photos/in the/ä.png"]
        [(stored,)] = catalog.rows("SELECT options FROM roots")
        assert "anon" in stored and endpoint in stored

        held.reads.clear()
        held.objects["photos/0.png"] = pictures[3]
        counts = as_counts(run_index(catalog, []))
        assert counts == {"changed": 1, "unchanged": 1, "encoded": 1}
        assert held.reads == ["photos/0.png"]

        packed = pack(base / "packed.tar", {"2.png": pictures[2], "2.txt": b"in a shard"})
        held.objects["shards/00.tar"] = packed.read_bytes()
        found = named(catalog, "gs://bucket/shards/{00..00}.tar", options)
        assert as_counts(run_index(catalog, found)) == {"new": 1, "encoded": 1}


@pytest.mark.parametrize(
    ("address", "module", "said"),
    [
        ("gs://bucket/photos", "gcsfs", "gs:// cannot be read here: .*gcsfs"),
        ("az://bucket/photos", "adlfs", "az:// cannot be read here: .*adlfs"),
        (
            "s3://bucket/photos",
            "fsspec",
            r's3:// cannot be read here; .*pip install "\.\[cluster\]"',
        ),
        ("nothing://bucket/photos", "adlfs", "nothing:// is not a known kind of address"),
    ],
)
def test_a_driver_that_is_missing_is_named(
    address: str, module: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.file_system.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    if module == "gcsfs":
        registry = pytest.importorskip("fsspec.registry")
        for scheme in ("gs", "gcs"):
            monkeypatch.delitem(registry._registry, scheme, raising=False)
    with pytest.raises(SourceUnavailable, match=said) as raised:
        named(None, address)
    assert "\n" not in str(raised.value)
