"""Programs written for OpenAI's package run unchanged, with the same results: docs/clip.md.

What they print with that package is in programs/golden.json, which programs/golden.py writes.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import clipmodel
from clipmodel.clip import _download
from clipmodel.errors import CheckpointError, DownloadError
from clipmodel.model import CLIP, ResidualAttentionBlock, Transformer, VisionTransformer
from clipmodel.model_folder import save_folder
from clipmodel.simple_tokenizer import SimpleTokenizer, default_bpe
from tests.clipmodel.programs import golden
from tests.clipmodel.small import VIT_CONFIG, model_of, pictures, texts

ROOT = Path(__file__).parents[2]
SNIPPETS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/clip.md").read_text(), re.DOTALL)
GOLDEN = json.loads(golden.FILE.read_text())


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """`import clip` is `import clipmodel`, and models are kept in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETRIEVE_MODELS", str(tmp_path_factory.mktemp("models")))
        patch.setitem(sys.modules, "clip", clipmodel)
        yield
    for name in [name for name in sys.modules if name.startswith("clip.")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def checkpoints(installed: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from tests.clipmodel.programs.weights import SIZES, checkpoint

    folder = tmp_path_factory.mktemp("checkpoints")
    return {family: checkpoint(folder, family) for family in SIZES}


@pytest.mark.parametrize("program", golden.PROGRAMS)
def test_a_program_prints_the_same(program: str, checkpoints: dict[str, str]) -> None:
    printed = golden.run(program, checkpoints[golden.PROGRAMS[program]])
    np.testing.assert_allclose(printed, GOLDEN[program], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["vit", "resnet"])
def test_names_of_weights_and_parts_are_openais(family: str) -> None:
    assert golden.names(family) == GOLDEN[f"names {family}"]


def test_modules_are_not_loaded_twice() -> None:
    import clip.model
    from clip import clip as inner
    from clip.simple_tokenizer import SimpleTokenizer as _Tokenizer

    assert clip.model is clipmodel.model and clip.model.CLIP is CLIP
    assert inner is clipmodel.clip and _Tokenizer is SimpleTokenizer
    assert clip.model.__spec__.name == "clipmodel.model"
    assert inner._MODELS.keys() == {*clip.available_models()}
    assert inner._tokenizer is inner._tokenizer and inner._tokenizer.encode("a dog") == [320, 1929]
    assert inner.build_model is clip.model.build_model
    with pytest.raises(ModuleNotFoundError):
        import_module("clip.nothing")
    with pytest.raises(AttributeError, match="nothing"):
        _ = inner.nothing


def test_what_the_documentation_shows(tmp_path: Path) -> None:
    in_a_program, in_a_file = SNIPPETS
    names: dict[str, Any] = {}
    exec(in_a_program, names)
    assert names["CLIP"] is CLIP and names["clip"] is clipmodel.clip
    (tmp_path / "clip.py").write_text(in_a_file)
    program = "import clip, clip.simple_tokenizer as s; print(clip.clip.__name__, s.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["clipmodel.clip", "clipmodel.simple_tokenizer"]


def test_parts_that_programs_reach_for() -> None:
    model = CLIP(48, 32, 2, 64, 8, 12, 60, 128, 2, 3).eval()
    assert isinstance(model.visual, VisionTransformer)
    assert (model.visual.output_dim, model.visual.input_resolution) == (48, 32)
    assert (model.transformer.width, model.transformer.layers) == (128, 3)
    mask = model.build_attention_mask()
    assert torch.equal(mask, torch.full((12, 12), float("-inf")).triu(1))
    for tower, hidden in ((model.transformer, mask), (model.visual.transformer, None)):
        for block in tower.resblocks:
            assert isinstance(block, ResidualAttentionBlock)
            assert isinstance(block.attn, nn.MultiheadAttention)
            assert block.attn_mask is None if hidden is None else torch.equal(block.attn_mask, mask)
    pixels = torch.randn(2, 3, 32, 32)
    embedded = model.encode_image(pixels)
    projection, model.visual.proj = model.visual.proj, None
    torch.testing.assert_close(model.encode_image(pixels) @ projection, embedded)


def test_a_text_may_be_shorter_than_the_context() -> None:
    """Padding after the end changes nothing, so an adapter may leave it out."""
    model = CLIP(48, 32, 2, 64, 8, 12, 60, 128, 2, 3).eval()
    ids = torch.tensor([[58, 3, 4, 59] + [0] * 8], dtype=torch.int32)
    torch.testing.assert_close(model.encode_text(ids[:, :4]), model.encode_text(ids))


class Video(CLIP):
    """A subclass as X-CLIP's: OpenAI's arguments, another text transformer, drawn anew."""

    def __init__(self, *sizes: Any) -> None:
        super().__init__(*sizes)
        width, heads, _ = sizes[-3:]
        self.transformer = Transformer(
            width=width, layers=1, heads=heads, attn_mask=self.build_attention_mask()
        )
        self.initialize_parameters()

    def encode_video(self, frames: torch.Tensor) -> torch.Tensor:
        return self.encode_image(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).mean(1)


@pytest.mark.parametrize("vision", [(32, 2, 64, 8), (32, [1, 1, 1, 1], 8, None)])
def test_a_subclass_with_openais_arguments(vision: tuple[Any, ...]) -> None:
    model = Video(48, *vision, 12, 60, 64, 1, 2)
    assert model.encode_video(torch.randn(2, 3, 3, 32, 32)).shape == (2, 48)
    assert model.encode_text(torch.randint(1, 60, (2, 12))).shape == (2, 48)
    assert 0.015 < float(model.token_embedding.weight.detach().std()) < 0.025
    assert len(model.transformer.resblocks) == 1


def test_state_dicts_of_earlier_versions_load(tmp_path: Path) -> None:
    """Their text towers' names began with `text.`, as those in model folders do."""
    model = model_of(VIT_CONFIG)
    state = model.state_dict()
    earlier = {
        k if k.startswith(("visual.", "logit")) else f"text.{k}": w for k, w in state.items()
    }
    again, outer = CLIP.of(VIT_CONFIG).eval(), nn.Sequential(CLIP.of(VIT_CONFIG))
    assert again.load_state_dict(earlier) is not None
    outer.load_state_dict({f"0.{name}": weight for name, weight in earlier.items()})
    ids = texts(VIT_CONFIG)
    for loaded in (again, outer[0].eval()):
        torch.testing.assert_close(loaded.encode_text(ids), model.encode_text(ids))
    of_now, of_then = (
        save_folder(tmp_path / d, "m", VIT_CONFIG, s)
        for d, s in (("now", state), ("then", earlier))
    )
    assert of_now.digest == of_then.digest


def test_a_state_dict_without_a_description(tmp_path: Path) -> None:
    """OpenAI's `load` knows but one kind of model; ours says that it assumes it."""
    model = CLIP(48, 32, 2, 64, 8, 77, 49408, 64, 1, 2)
    torch.save(model.state_dict(), tmp_path / "tuned.pt")
    with pytest.warns(UserWarning, match="tuned.pt is taken for the weights of a model of OpenAI"):
        again, preprocess = clipmodel.load(tmp_path / "tuned.pt", device="cpu")
    assert preprocess.transforms[0].size == 32  # type: ignore[attr-defined]
    pixels = pictures(again.config)
    torch.testing.assert_close(
        again.encode_image(pixels), model.encode_image(pixels), atol=2e-3, rtol=0
    )
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    with pytest.raises(CheckpointError):
        clipmodel.model.build_model({"text_model.head.weight": torch.zeros(1)})


def test_a_file_is_downloaded_once(tmp_path: Path) -> None:
    content = b"weights"
    sha256 = hashlib.sha256(content).hexdigest()
    url = f"http://127.0.0.1:9/{sha256}/RN1.pt"
    (tmp_path / "RN1.pt").write_bytes(content)
    assert _download(url, tmp_path) == str(tmp_path / "RN1.pt")
    (tmp_path / "RN1.pt").write_bytes(content[:-1])
    with pytest.warns(UserWarning, match="downloading"), pytest.raises(DownloadError):
        _download(url, str(tmp_path))


def test_another_table_of_merges(tmp_path: Path) -> None:
    table = tmp_path / "bpe.txt.gz"
    table.write_bytes(Path(default_bpe()).read_bytes())
    assert SimpleTokenizer(str(table)).encoder == SimpleTokenizer().encoder
