"""Names and paths -> model folders: registry, cache, conversion."""

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.errors import CheckpointError, ClipModelError, DownloadError, ModelNotFound
from clipmodel.hub.registry import REGISTRY
from clipmodel.pretrained import (
    Pretrained,
    available_models,
    bundled_models,
    is_cached,
    models_folder,
    obtain,
    resolve,
)
from tests.clipmodel.small import MEAN, STD, model_cfg

Build = Callable[[str], nn.Module]


# --- the registry ---


def test_the_names_are_openais() -> None:
    assert available_models() == [
        "RN50",
        "RN101",
        "RN50x4",
        "RN50x16",
        "RN50x64",
        "ViT-B/32",
        "ViT-B/16",
        "ViT-L/14",
        "ViT-L/14@336px",
    ]
    assert bundled_models() == ["tiny", "tiny-2"]
    assert resolve("tiny") == resolve("tiny-2")


@pytest.mark.parametrize("name", list(REGISTRY))
def test_the_registry_equals_openclips(name: str) -> None:
    """Addresses, sums and configs."""
    from open_clip.factory import get_model_config
    from open_clip.pretrained import get_pretrained_url

    entry = REGISTRY[name]
    theirs = re.sub("[/@]", "-", name).removesuffix("px")
    assert entry.url == get_pretrained_url(theirs, "openai")
    assert entry.sha256 == entry.url.split("/")[-2] and len(entry.sha256) == 64
    held = get_model_config(theirs)
    vision, text = held["vision_cfg"], held["text_cfg"]
    assert entry.config.embed_dim == held["embed_dim"]
    assert entry.config.vision.image_size == vision["image_size"]
    assert entry.config.vision.width == vision["width"]
    layers = entry.config.vision.layers
    assert (list(layers) if isinstance(layers, tuple) else layers) == vision["layers"]
    assert getattr(entry.config.vision, "patch_size", None) == vision["patch_size"]
    ours = entry.config.text
    assert (ours.width, ours.heads, ours.layers) == (text["width"], text["heads"], text["layers"])
    assert (ours.context_length, ours.vocab_size) == (text["context_length"], text["vocab_size"])


# --- the cache ---


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of its own."""
    monkeypatch.setenv("RETRIEVE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def checkpoint(tmp_path: Path, openclip: Build) -> Path:
    """An OpenCLIP checkpoint in float16 with its config."""
    config = {
        "model_cfg": model_cfg("whole vocabulary"),
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    weights = openclip("whole vocabulary").state_dict()
    save_file({name: t.half() for name, t in weights.items()}, folder / "a.safetensors")
    return folder / "a.safetensors"


def test_where_models_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETRIEVE_MODELS", raising=False)
    assert models_folder().name == "models" and "retrieve" in str(models_folder())
    monkeypatch.setenv("RETRIEVE_MODELS", str(tmp_path / "a"))
    assert models_folder() == tmp_path / "a"
    assert models_folder(tmp_path / "b") == tmp_path / "b"


def test_unknown_names_are_errors_that_list_the_known(models: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model 'ViT-B-33'; did you mean ViT-B/32"):
        resolve("ViT-B-33")
    with pytest.raises(ModelNotFound, match="no model 'nonsense'.*tiny.*ViT-B/32"):
        resolve("nonsense")
    with pytest.raises(ModelNotFound, match="for a repository on the Hugging .* say hf:some/one"):
        resolve("some/one")
    with pytest.raises(ModelNotFound, match="downloads are not allowed"):
        resolve("ViT-B/32", download=False)
    assert not is_cached("ViT-B/32") and not is_cached("ViT-B-33")
    assert not models.exists()


# --- checkpoints by path ---


def test_a_checkpoint_is_converted_once(models: Path, checkpoint: Path) -> None:
    assert not is_cached(checkpoint)
    folder = resolve(checkpoint)
    weights, config = read_checkpoint(checkpoint)
    assert (folder.config, folder.name) == (config, str(checkpoint))
    vision, text = load_file(folder.vision_file), load_file(folder.text_file)
    assert vision.keys() | text.keys() == weights.keys()
    assert {t.dtype for t in vision.values()} == {torch.float16}  # as it came
    assert {t.dtype for t in text.values()} == {torch.float32}  # as NumPy wants it
    for name, tensor in (vision | text).items():
        assert torch.equal(tensor.float(), weights[name].float())
    assert is_cached(checkpoint)
    written = folder.vision_file.stat().st_mtime_ns
    assert resolve(str(checkpoint)) == folder
    assert folder.vision_file.stat().st_mtime_ns == written


def test_a_converted_checkpoint_is_found_without_torch(models: Path, checkpoint: Path) -> None:
    resolve(checkpoint)
    code = "import sys; from clipmodel.pretrained import resolve; resolve(sys.argv[1]);"
    code += "print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(checkpoint)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_copy_is_known_by_its_content(models: Path, checkpoint: Path) -> None:
    first = resolve(checkpoint)
    moved = checkpoint.parent.rename(checkpoint.parent.with_name("moved"))
    second = resolve(moved / checkpoint.name)
    assert (second.path, second.digest) == (first.path, first.digest)
    assert resolve(checkpoint) == first  # by the path where it was: it was converted, and is kept


def test_a_changed_checkpoint_is_another_model(models: Path, checkpoint: Path) -> None:
    first = resolve(checkpoint)
    weights = load_file(checkpoint)
    save_file({name: tensor * 2 for name, tensor in weights.items()}, checkpoint)
    assert resolve(checkpoint).digest != first.digest


def test_another_config_beside_the_same_weights_is_another_model(
    models: Path, checkpoint: Path
) -> None:
    first = resolve(checkpoint)
    settings = {"activation": "gelu", "head_width": 64, "mean": MEAN, "std": STD}
    checkpoint.with_name("a.safetensors.json").write_text(json.dumps(settings))
    second = resolve(checkpoint)
    assert (first.config.text.activation, second.config.text.activation) == ("quick_gelu", "gelu")
    assert first.path != second.path


def test_folders_of_checkpoints_and_model_folders(models: Path, checkpoint: Path) -> None:
    checkpoint.rename(checkpoint.with_name("open_clip_model.safetensors"))
    folder = resolve(checkpoint.parent)
    assert folder.name == str(checkpoint.parent)
    again = resolve(folder.path)
    assert (again.path, again.digest) == (folder.path, folder.digest)
    assert is_cached(folder.path)


def test_a_cache_that_cannot_be(checkpoint: Path) -> None:
    with pytest.raises(ClipModelError, match="cannot write .*RETRIEVE_MODELS"):
        resolve(checkpoint, download_root=checkpoint / "under a file")


def test_a_bad_checkpoint_leaves_nothing(models: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.pt").write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match="bad.pt is not a checkpoint"):
        resolve(tmp_path / "bad.pt")
    assert [path.suffix for path in models.iterdir()] in ([], [".lock"])


# --- names that are fetched ---


@pytest.fixture
def entry(tmp_path: Path, checkpoint: Path) -> Iterator[Pretrained]:
    """A model on a server on this machine: a plain state dict, whose config the registry knows."""
    served = tmp_path / "served"
    served.mkdir()
    _, config = read_checkpoint(checkpoint)
    torch.save(load_file(checkpoint), served / "Small-8.pt")
    sha256 = hashlib.sha256((served / "Small-8.pt").read_bytes()).hexdigest()

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = partial(Handler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/Small-8.pt"
        yield Pretrained("Small/8", url, sha256, config)
        server.shutdown()
        thread.join()


def test_a_name_is_fetched_and_converted_once(entry: Pretrained, models: Path) -> None:
    folder = obtain(entry, models, progress=False)
    assert (folder.name, folder.config, folder.path) == (
        "Small/8",
        entry.config,
        models / "Small-8",
    )
    assert not (models / "Small-8.pt").exists()  # its tensors are kept, not their wrapping
    gone = Pretrained(entry.name, "http://127.0.0.1:9/Small-8.pt", entry.sha256, entry.config)
    assert obtain(gone, models) == folder


def test_a_file_that_was_put_there_by_hand_is_used_and_kept(
    entry: Pretrained, models: Path, tmp_path: Path
) -> None:
    models.mkdir()
    (tmp_path / "served" / "Small-8.pt").rename(models / "Small-8.pt")
    assert obtain(entry, models, download=False).name == "Small/8"
    assert (models / "Small-8.pt").exists()


def test_a_file_that_openais_package_left_is_used_and_kept(
    entry: Pretrained, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    left = tmp_path / ".cache" / "clip" / "Small-8.pt"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"another file of this name")
    with pytest.raises(ModelNotFound, match="downloads are not allowed"):
        obtain(entry, models, download=False)
    left.write_bytes((tmp_path / "served" / "Small-8.pt").read_bytes())
    gone = Pretrained(entry.name, "http://127.0.0.1:9/Small-8.pt", entry.sha256, entry.config)
    assert obtain(gone, models, download=False).name == "Small/8"
    assert left.exists()


def test_a_file_that_is_another_is_refused(entry: Pretrained, models: Path) -> None:
    models.mkdir()
    (models / "Small-8.pt").write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="is not Small/8: its sha256 is"):
        obtain(entry, models)


def test_a_wrong_sum_ends_it(entry: Pretrained, models: Path) -> None:
    wrong = Pretrained(entry.name, entry.url, "0" * 64, entry.config)
    with pytest.raises(DownloadError, match="sha256"):
        obtain(wrong, models, progress=False)
    assert [path.name for path in models.iterdir() if path.suffix != ".lock"] == []


def test_weights_of_another_config_are_refused(entry: Pretrained, models: Path) -> None:
    for name, message in (("ViT-B/32", "it lacks: "), ("RN50", "not of the expected family")):
        wrong = Pretrained(entry.name, entry.url, entry.sha256, REGISTRY[name].config)
        with pytest.raises(CheckpointError, match=message):
            obtain(wrong, models, progress=False)
        assert not (models / "Small-8").exists()
