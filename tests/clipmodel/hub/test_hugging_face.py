"""Models from the hub: a server that speaks its protocol, and tiny checkpoints."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save
from torch import nn

from clipmodel.errors import ClipModelError, DownloadError, ModelNotFound
from clipmodel.hub import fetching, image_towers, names, published
from clipmodel.hub.published import Published
from clipmodel.model_folder import ModelFolder
from clipmodel.pretrained import is_cached, meant, resolve
from tests.clipmodel.hub.server import COMMIT, Held, Hub, running
from tests.clipmodel.small import MEAN, STD, VIT_CONFIG, model_cfg, saved
from tests.clipmodel.towers.alone import m_clip, sentence_transformer

Build = Callable[[str], nn.Module]
NAME = "someone/small-clip"
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def files(openclip: Build) -> dict[str, bytes]:
    """A repository of OpenCLIP's, which also holds what is not wanted."""
    config = {
        "model_cfg": model_cfg("whole vocabulary"),
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    weights = {name: t.half() for name, t in openclip("whole vocabulary").state_dict().items()}
    return {
        "open_clip_config.json": json.dumps(config).encode(),
        "open_clip_model.safetensors": save(weights),
        "README.md": b"---\nlicense: mit\n---\n",
        "pytorch_model.bin": b"not wanted" * 2000,
        "training.log": b"not wanted",
    }


@pytest.fixture
def hub(tmp_path: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository, and a user with empty caches."""
    from huggingface_hub import close_session

    with running() as hub, closing_after(close_session):
        hub.repositories[NAME] = Held(dict(files), {"license": "mit"})
        constants = "huggingface_hub.constants"
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(f"{constants}.ENDPOINT", hub.address)
        monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(f"{constants}.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(f"{constants}.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("RETRIEVE_MODELS", str(tmp_path / "models"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(f"{constants}.HF_TOKEN_PATH", str(tmp_path / "token"))
        yield hub


@contextmanager
def closing_after(close: Callable[[], None]) -> Iterator[None]:
    """Forget connections, and the proxies of other tests, before and after."""
    close()
    yield
    close()


def got(name: str = f"hf:{NAME}") -> ModelFolder:
    return resolve(name, progress=False)


def test_a_repository_becomes_a_model(hub: Hub, tmp_path: Path) -> None:
    folder = got()
    assert (folder.name, folder.config.mean) == (f"hf:{NAME}", MEAN)
    assert hub.fetched("") == [f"STORE /{NAME}/open_clip_model.safetensors"]  # nothing else
    kept = sorted(path.name for path in (tmp_path / "models").iterdir() if path.suffix != ".lock")
    assert kept == [folder.path.name]  # what arrived is gone
    hub.fails = 500
    assert got() == folder and is_cached(f"hf:{NAME}")
    assert resolve(f"hf:{NAME}", download=False) == folder


def test_a_revision(hub: Hub) -> None:
    assert got(f"hf:{NAME}@{COMMIT}").digest == got().digest
    with pytest.raises(ModelNotFound, match=f"no revision {NAME}@nonsense"):
        got(f"hf:{NAME}@nonsense")


def test_a_bar_names_the_model(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    resolve(f"hf:{NAME}")
    assert f"hf:{NAME} (open_clip_model.safetensors): 100%" in capsys.readouterr().err


# --- faults ---


def test_a_cut_is_resumed_by_the_next_call(hub: Hub) -> None:
    hub.cut_after = 3_000_000
    with pytest.raises(DownloadError) as raised:
        got()
    said = str(raised.value)
    assert said.startswith(f"could not download {NAME}/open_clip_model.safetensors: ")
    assert "3,000,000 bytes are kept, and the next attempt resumes there" in said
    assert "\n" not in said and "http" not in said
    hub.cut_after = None
    got()
    assert hub.fetched("safetensors")[1:] == [
        f"STORE /{NAME}/open_clip_model.safetensors bytes=3000000-"
    ]


def test_other_bytes_than_published_are_removed(hub: Hub, tmp_path: Path) -> None:
    hub.spoiled = True
    with pytest.raises(DownloadError, match="has the sha256 .*the download was removed, try again"):
        got()
    assert not list((tmp_path / "models").rglob("*.part"))
    hub.spoiled = False
    got()


def test_a_tag_is_no_path(hub: Hub, tmp_path: Path) -> None:
    hub.tag = f"{tmp_path}/evil"
    got()
    assert not (tmp_path / "evil").exists()


def test_a_model_that_cannot_be_read_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    weights = hub.repositories[NAME].files
    right = weights["open_clip_config.json"]
    weights["open_clip_config.json"] = right.replace(b'"embed_dim": 24', b'"embed_dim": 25')
    weights["open_clip_config.json"] = b"{}"
    with pytest.raises(ClipModelError, match=f"hf:{NAME}/open_clip_") as raised:
        got()
    assert str(tmp_path) not in str(raised.value)
    weights["open_clip_config.json"] = right
    got()
    assert len(hub.fetched("safetensors")) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "someone/else"}, "no repository someone/else, or it is private: .* set HF_TOKEN"),
        ({"token": "secret"}, f"no repository {NAME}, or it is private"),
        (
            {"token": "secret", "gated": True},
            "requires you to accept its terms: .* then set HF_TOKEN",
        ),
        ({"fails": 503}, f"hub answers 503 for {NAME}; try again later"),
        ({"name": "nonsense/of/three"}, "'nonsense/of/three' is not the name of a repository"),
        ({"files": {"model.onnx": b""}}, "holds none of model.safetensors, "),
    ],
)
def test_what_the_hub_refuses_is_one_line(hub: Hub, change: dict[str, object], said: str) -> None:
    hub.fails = change.get("fails")  # type: ignore[assignment]
    held = {key: value for key, value in change.items() if key in ("token", "gated", "files")}
    hub.repositories[NAME] = replace(hub.repositories[NAME], **held)  # type: ignore[arg-type]
    with pytest.raises(ClipModelError, match=said) as raised:
        got(f"hf:{change.get('name', NAME)}")
    assert "\n" not in str(raised.value) and "http" not in str(raised.value)


def test_a_token_goes_to_the_hub_alone(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories[NAME].token = "secret"
    monkeypatch.setenv("HF_TOKEN", "secret")
    got()
    assert len(hub.fetched("safetensors")) == 1 and not hub.tokens_seen_by_store


# --- caches and offline mode ---


def test_the_hubs_own_cache_is_used(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants, hf_hub_download

    for file in ("README.md", "open_clip_config.json", "open_clip_model.safetensors"):
        hf_hub_download(NAME, file, cache_dir=constants.HF_HUB_CACHE)
    before = len(hub.fetched(""))
    hub.fails = 503  # and where the hub does not answer
    first = got()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("RETRIEVE_MODELS", f"{os.environ['RETRIEVE_MODELS']}-2")
    assert got().digest == first.digest
    assert len(hub.fetched("")) == before


def test_offline_and_not_there(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match=f"{NAME} is not in the Hugging Face cache, and HF_HUB"):
        got()
    assert not hub.asked
    with pytest.raises(ModelNotFound, match=f"hf:{NAME} is not in .*downloads are not allowed"):
        resolve(f"hf:{NAME}", download=False)


def test_no_hub_at_all(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="cannot reach the Hugging Face hub") as raised:
        got()
    assert "\n" not in str(raised.value) and "http" not in str(raised.value)


def test_mirror_and_cache_are_those_of_the_environment(hub: Hub, tmp_path: Path) -> None:
    """In a process of its own, since huggingface_hub reads the variables once."""
    code = (
        "import sys; from pathlib import Path; from clipmodel.hub.hugging_face import repository\n"
        "found = repository(sys.argv[1]); places = [Path(place) for place in sys.argv[2:]]\n"
        "print(found.fetch('README.md', *places, progress=False).resolve().read_text())"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HUB_CACHE": str(tmp_path / "hub")}
    command = [sys.executable, "-c", code, NAME, str(tmp_path / "into"), str(tmp_path / "store")]
    for _ in range(2):
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert "license: mit" in ran.stdout, ran.stderr
        (tmp_path / "into" / "README.md").unlink()
    asked = [request for request in hub.asked if "README.md" in request]
    assert [request.partition(" ")[0] for request in asked] == ["HEAD", "GET", "HEAD"]


# --- licences ---


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"license": "cc-by-nc-4.0"}, "is licensed under CC BY-NC 4.0: no commercial use"),
        (
            {"license": "other", "license_name": "apple-amlr"},
            "is licensed under Apple AMLR: for research only, no commercial use",
        ),
        ({"license": "other", "license_name": "own"}, "has a special licence, own: read it first"),
        ({"license": "apache-2.0"}, ""),
        ({}, ""),
    ],
)
def test_what_a_licence_forbids_is_said_before_the_download(
    hub: Hub, caplog: pytest.LogCaptureFixture, card: dict[str, str], said: str
) -> None:
    hub.repositories[NAME].card, hub.cut_after = card, 1000
    with caplog.at_level(logging.WARNING), pytest.raises(DownloadError):
        got()
    assert caplog.messages == ([f"hf:{NAME} {said}"] if said else [])


def test_where_a_card_says_nothing_our_list_does(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    listed = "timm/vit_base_patch32_clip_224.metaclip_2pt5b"
    hub.repositories[listed] = replace(hub.repositories[NAME], card={"license": "other"})
    hub.cut_after = 1000
    with pytest.raises(DownloadError):
        got("MetaCLIP-B32")
    assert caplog.messages == ["metaclip-b32 is licensed under CC BY-NC 4.0: no commercial use"]


# --- layouts and names ---


def test_shards_and_a_folder_of_sentence_transformers(hub: Hub, files: dict[str, bytes]) -> None:
    from safetensors.torch import load

    weights = load(files["open_clip_model.safetensors"])
    towers = [
        {name: tensor for name, tensor in weights.items() if name.startswith("visual.") == first}
        for first in (True, False)
    ]
    shards = {f"model-{n:05}-of-00002.safetensors": save(part) for n, part in enumerate(towers, 1)}
    places = {name: file for file, part in zip(shards, towers, strict=True) for name in part}
    index = {"model.safetensors.index.json": json.dumps({"weight_map": places}).encode()}
    config = {"open_clip_config.json": files["open_clip_config.json"]}
    hub.repositories["a/sharded"] = Held({**config, **index, **shards})
    modules = [{"type": "sentence_transformers.models.CLIPModel", "path": "0_CLIPModel"}]
    inside = {f"0_CLIPModel/{name}": body for name, body in (config | index | shards).items()}
    hub.repositories["a/sentences"] = Held(inside | {"modules.json": json.dumps(modules).encode()})
    assert got("hf:a/sharded").digest == got("hf:a/sentences").digest == got().digest


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("M-CLIP/XLM-Roberta-Large-Vit-B-32", m_clip),
        ("sentence-transformers/clip-ViT-B-32-multilingual-v1", sentence_transformer),
    ],
)
def test_a_text_tower_alone(
    hub: Hub,
    tmp_path: Path,
    name: str,
    write: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The model that its author names has the pictures."""
    assert image_towers.IMAGE_TOWERS[name] == "ViT-B/32"
    images = saved(tmp_path / "images", VIT_CONFIG)
    monkeypatch.setitem(image_towers.IMAGE_TOWERS, name, str(images.path))
    source = tmp_path / "source"
    source.mkdir()
    write(source)
    held = {f.relative_to(source).as_posix(): f.read_bytes() for f in source.rglob("*.*")}
    hub.repositories[name] = Held(held)
    folder = got(f"hf:{name}")
    assert folder.config.vision == VIT_CONFIG.vision
    assert folder.config.embed_dim == VIT_CONFIG.embed_dim


def test_a_published_name_in_any_spelling(
    hub: Hub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is fetched from its repository, with the activation that OpenCLIP's list has."""
    config = json.loads(files["open_clip_config.json"])
    del config["model_cfg"]["quick_gelu"]
    hub.repositories[NAME].files["open_clip_config.json"] = json.dumps(config).encode()
    small = Published("small-b32", "CLIP", 1.0, 32, 24, repository=NAME, quick_gelu=True)
    monkeypatch.setattr(published, "PUBLISHED", (*published.PUBLISHED, small))
    forget_names()
    try:
        folder = got("Small_B32")
        assert (folder.name, meant("small_b/32")) == ("small-b32", "small-b32")
        assert folder.config.text.activation == "quick_gelu"  # type: ignore[attr-defined]
        assert got("small-b32") == folder == got(NAME)
        monkeypatch.setattr(published, "PUBLISHED", (replace(small, needs="no_such_package"),))
        forget_names()
        monkeypatch.setenv("RETRIEVE_MODELS", f"{os.environ['RETRIEVE_MODELS']}-2")
        with pytest.raises(ClipModelError, match="small-b32 needs no_such_package: pip install"):
            got("small-b32")
    finally:
        monkeypatch.undo()
        forget_names()


def forget_names() -> None:
    for cached in (names.by_name, names._aliases):
        cached.cache_clear()


def test_a_vocabulary_of_another_repository(
    hub: Hub, files: dict[str, bytes], tmp_path: Path
) -> None:
    """It replaces no file of a cache, where both have one of its name."""
    config = json.loads(files["open_clip_config.json"])
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "some/words"
    held = {"open_clip_config.json": json.dumps(config).encode(), "tokenizer_config.json": b"{}"}
    hub.repositories["a/b"] = Held(held | {"open_clip_model.safetensors": b"x" * 20_000})
    words = {"tokenizer.json": b"{}", "tokenizer_config.json": b'{"a": 1}', "merges.txt": b""}
    hub.repositories["some/words"] = Held(words)
    how = fetching.Fetch(tmp_path / "into", tmp_path / "store", "x", progress=False)
    for _ in range(2):
        fetching.fetch_checkpoint("a/b", None, how, None)
        assert sorted(path.name for path in how.into.iterdir()) == [
            *("open_clip_config.json", "open_clip_model.safetensors"),
            *("tokenizer.json", "tokenizer_config.json"),
        ]
        assert (how.into / "tokenizer_config.json").read_bytes() == b'{"a": 1}'
    assert len(hub.fetched("")) == 1
    assert b"{}" in [path.read_bytes() for path in how.store.iterdir()]


def test_a_name_of_openclips_comes_from_its_repository(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The list of OpenCLIP says where; the card of the repository, under which licence."""
    from tests.clipmodel.hub.test_openclip import SMALL, weights_of

    config = {"hf_hub": f"{NAME}/", "quick_gelu": True, "mean": MEAN, "std": STD}
    monkeypatch.setattr("open_clip.is_pretrained_cfg", lambda arch, tag: True)
    monkeypatch.setattr("open_clip.get_pretrained_cfg", lambda arch, tag: config)
    held = hub.repositories[NAME]
    held.files = {"open_clip_model.safetensors": save(weights_of(SMALL))}
    held.card = {"license": "cc-by-nc-4.0"}
    folder = got(f"open_clip:{SMALL}/small")
    assert folder.config.text.activation == "quick_gelu"  # type: ignore[attr-defined]
    assert caplog.messages == [
        f"open_clip:{SMALL}/small is licensed under CC BY-NC 4.0: no commercial use"
    ]
    assert len(hub.fetched("")) == 1


def test_which_file_has_the_weights() -> None:
    one = ["model.safetensors", "open_clip_config.json"]
    assert fetching.weights_among(one) == "model.safetensors"
    assert fetching.weights_among([*one, "open_clip_pytorch_model.bin"]) == (
        "open_clip_pytorch_model.bin"  # as its config says most
    )
    assert fetching.weights_among(["model.onnx"]) is None
