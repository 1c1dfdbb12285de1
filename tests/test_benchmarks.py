"""The benchmarks' own parts: what a figure is made of had better be right."""

import os
import random
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import duplicates, gpu, soak
from benchmarks.decode import encoded, plain
from benchmarks.harness import limits, page_cache, peers, report
from benchmarks.harness.inputs import PictureLike, photos, small_photos
from benchmarks.harness.libraries import SMALL, filled, filled_from, random_model
from benchmarks.harness.timing import Failed, Times, run, steady
from benchmarks.models import families
from benchmarks.rescan import change, every_so_many, move, stat_all
from clipmodel.config import ResNetConfig
from clipmodel.families import IMAGE_FAMILIES, TEXT_FAMILIES, image_family, text_family
from clipmodel.hub.registry import REGISTRY
from retrieval import Library, Summary


def test_a_table_reads_as_text_and_as_markdown() -> None:
    rows: list[report.Row] = [
        {"what": "ours", "ms": 12.345, "files": 100000},
        {"what": "theirs", "files": 3},
    ]
    assert report.table(rows).splitlines() == [
        "| what   | ms   | files   |",
        "| ------ | ---- | ------- |",
        "| ours   | 12.3 | 100,000 |",
        "| theirs | –    | 3       |",
    ]


def test_percentiles() -> None:
    times = Times(tuple(number / 100 for number in range(101)))
    assert (times.p50, times.p99) == (0.5, 0.99)


LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")


@LINUX
def test_the_memory_of_a_process_and_its_children_is_seen() -> None:
    hold = "import time; held = b'x' * {}; time.sleep(0.5)"
    child = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold.format(40 << 20)!r}])"
    )
    ran = run([sys.executable, "-c", child])
    assert ran.own is not None and 40 << 20 < ran.own < 120 << 20


@LINUX
def test_a_soak_under_every_kind_of_request(tmp_path: Path) -> None:
    with soak.serving(tmp_path, 60) as load:
        chance = random.Random(0)
        for kind in soak.KINDS:
            soak.together(load, [(chance.random(), [kind])] * 2)
        row = soak.held(load, tmp_path, 0.0)
    assert load.failed.total() == 0, load.failed
    assert int(row["requests"] or 0) >= 2 * len(soak.KINDS) and row["temporary files"] == 0


@LINUX
def test_a_soak_counts_what_failed(tmp_path: Path) -> None:
    load = soak.Load(os.getpid(), 0, "secret", tmp_path)  # nobody listens at port 0
    soak.together(load, [(0.0, [soak.by_words])])
    assert load.requests == load.failed.total() == 1


def test_a_program_that_fails_is_heard() -> None:
    with pytest.raises(Failed, match="(?s)ended with 3:.*no way"):
        run([sys.executable, "-c", "import sys; print('no way', file=sys.stderr); sys.exit(3)"])


def test_a_program_runs_in_the_folder_asked_for(tmp_path: Path) -> None:
    show = "import os; print(os.getcwd(), os.environ['COLOUR'])"
    said = run([sys.executable, "-c", show], tmp_path, COLOUR="red").output
    assert said.split() == [str(tmp_path.resolve()), "red"]


def test_a_call_is_made_at_least_once() -> None:
    calls = list[int]()
    assert steady(lambda: calls.append(1), least=0.0) >= 0
    assert len(calls) == 2  # the first one warms up


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_the_limit_counts_every_product_but_those_of_attention(family: str) -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from clipmodel.model import CLIP

    config = (
        SMALL if family == "vit" else replace(SMALL, vision=ResNetConfig(64, 8, (1, 2, 1, 1), 4))
    )
    tower = CLIP.of(config).visual.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        tower(torch.zeros(3, 3, 64, 64))
    counted = counter.get_flop_counts()["Global"]
    wanted = sum(count for op, count in counted.items() if "attention" not in str(op))
    assert limits.operations(limits.products(config, 3)) == wanted


def test_what_a_model_says_of_its_own_work_is_what_its_products_take() -> None:
    for entry in REGISTRY.values():
        counted = limits.operations(limits.products(entry.config, 1))
        assert entry.config.vision.operations == pytest.approx(counted, rel=0.01)


def test_peers_are_left_out_where_none_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(peers.VARIABLE, raising=False)
    peers.absent.clear()
    assert peers.Rclip.installed(tmp_path) is None
    assert peers.absent
    monkeypatch.setenv(peers.VARIABLE, str(tmp_path))
    assert peers.program("rclip") is None and "rclip" in peers.absent


def test_peers_are_looked_for_in_every_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "second" / "bin" / "clip-retrieval"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.setenv(
        peers.VARIABLE, os.pathsep.join(str(tmp_path / n) for n in ("first", "second"))
    )
    found = peers.ClipRetrieval.installed(tmp_path)
    assert found and found.program == program


def test_rclip_is_filled_as_it_fills_itself(tmp_path: Path) -> None:
    small_photos(tmp_path / "photos", 3)
    rclip = peers.Rclip(tmp_path / "rclip", tmp_path)
    [(_, vectors)] = PictureLike(512).batches(3)
    rclip.fill(peers.found(tmp_path / "photos"), [vectors])
    with sqlite3.connect(rclip.catalog) as catalog:
        rows = catalog.execute("SELECT filepath, size, vector FROM images").fetchall()
    catalog.close()
    assert [Path(path).stat().st_size for path, _, _ in rows] == [size for _, size, _ in rows]
    assert {len(vector) for _, _, vector in rows} == {4 * 512}


def test_pages_are_dropped_and_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10_000))
    page_cache.drop([tmp_path / "file"])
    page_cache.read_all([tmp_path / "file"])


def test_plain_pillow_decodes_what_was_encoded() -> None:
    picture = Image.new("RGB", (60, 40), "red")
    for format in ("JPEG", "PNG", "WEBP"):
        assert plain(encoded(picture, format), 32).shape == (32, 32, 3)


def test_vectors_lie_as_those_of_pictures_do() -> None:
    vectors = PictureLike(512).draw(1000, seed=1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert 0.6 < np.linalg.norm(vectors.mean(axis=0)) < 0.85
    [(ids, same)] = PictureLike(512).batches(7)
    assert ids.tolist() == [1, 2, 3, 4, 5, 6, 7] and same.dtype == np.float16


def test_photos_are_distinct(tmp_path: Path) -> None:
    photos(tmp_path, 3, (64, 48))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 3


def test_pairs_are_counted_once_and_edits_are_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", 3)
    bits = np.eye(8, 64, dtype=bool)
    bits[5] = bits[2]
    assert duplicates.false_pairs(duplicates.by_bits(bits, 0), 8) == 1
    assert duplicates.false_pairs(duplicates.by_bits(bits, 2), 8) == 28
    photo = Image.new("RGB", (60, 40), "red")
    edited = {name: edit(photo).size for name, edit in duplicates.EDITS.items()}
    assert edited["crop"] == (54, 36) and edited["resize"] == (30, 20)


def test_every_family_is_among_the_random_models() -> None:
    configs = families.configs().values()
    for held, known in (
        ({image_family(config.vision).name for config in configs}, IMAGE_FAMILIES),
        ({text_family(config.text).name for config in configs}, TEXT_FAMILIES),
    ):
        assert held == {family.name for family in known}
    assert any(config.logit_bias for config in configs)


def test_a_library_that_is_filled_directly_is_one(tmp_path: Path) -> None:
    model = random_model(tmp_path / "model", SMALL)
    filled(tmp_path / "library", model, 50)
    with Library.open(tmp_path / "library") as library:
        assert len(library.search("a red car", limit=20)) == 20
        assert library.status().counts.embedded == 50


def test_a_library_knows_the_files_it_was_filled_from(tmp_path: Path) -> None:
    model = random_model(tmp_path / "model", SMALL)
    small_photos(tmp_path / "photos", 12)
    assert stat_all(tmp_path / "photos") == 12
    filled_from(tmp_path / "library", model, tmp_path / "photos")
    with Library.open(tmp_path / "library") as library:

        def index() -> Summary:
            return library.index(tmp_path / "photos", workers=0)

        summary = index()
        assert (summary.unchanged, summary.new, summary.removed) == (12, 0, 0)
        some = every_so_many(tmp_path / "photos")
        move(some, tmp_path / "photos" / "moved")
        summary = index()
        assert (summary.moved, summary.unchanged, summary.encoded) == (1, 11, 0)
        change(every_so_many(tmp_path / "photos"))
        summary = index()
        assert (summary.changed, summary.unchanged, summary.encoded) == (1, 11, 1)


def test_the_benchmark_of_a_gpu_checks_itself_without_one(tmp_path: Path) -> None:
    import torch

    torch.set_num_threads(1)
    rows = list(gpu.run(tmp_path, quick=True))
    assert len({tuple(each) for each in rows}) == 1, "one table"
    rates = {each["what"]: each["images/s"] for each in rows[1:]}
    assert all(isinstance(rate, float) and rate > 0 for rate in rates.values())
    assert {"retrieve, from memory to memory", "products with weights alone"} <= rates.keys()
    assert any("index" in str(what) for what in rates) and any("alone" in str(w) for w in rates)
    [least, *_] = [each["least cos"] for each in rows if each["least cos"]]
    assert float(str(least)) > 0.999
