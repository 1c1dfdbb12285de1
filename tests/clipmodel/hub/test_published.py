"""The table of published models, held against OpenCLIP's own lists."""

from pathlib import Path

import pytest

from clipmodel.hub import download, names
from clipmodel.hub.licences import of_card
from clipmodel.hub.names import canonical
from clipmodel.hub.published import PUBLISHED, Published
from clipmodel.hub.registry import REGISTRY
from clipmodel.pretrained import meant

LISTED = [model for model in PUBLISHED if model.openclip]
IMAGE_SIZES = {"siglip2-so400m14-384": 378}  # as OpenCLIP calls 27 patches of 14 of 384 pixels


@pytest.mark.parametrize("model", LISTED, ids=lambda model: model.name)
def test_it_is_as_openclip_lists_it(model: Published) -> None:
    import open_clip

    arch, _, tag = model.openclip.partition("/")
    published = open_clip.get_pretrained_cfg(arch, tag)
    if not model.repository.startswith("google/"):  # SigLIP 2: its authors' own
        assert published["hf_hub"] == f"{model.repository}/"
    assert bool(published.get("quick_gelu")) == model.quick_gelu
    config = open_clip.get_model_config(arch)
    assert config["embed_dim"] == model.embed_dim
    size = IMAGE_SIZES.get(model.name, model.image_size)
    assert config["vision_cfg"].get("image_size", 224) == size
    is_ours = "timm_model_name" not in config["vision_cfg"] or model.family.startswith("SigLIP")
    assert (model.needs == "open_clip") == (not is_ours)


def test_openais_are_all_there_first() -> None:
    assert [model.name for model in PUBLISHED[: len(REGISTRY)]] == list(REGISTRY)
    sizes = {model.name: model.bytes for model in PUBLISHED}
    # as downloaders show them: 338, 244 and 890 MiB
    for name, megabytes in (("ViT-B/32", 338), ("RN50", 244), ("ViT-L/14", 890)):
        assert sizes[name] == pytest.approx(megabytes * 2**20, rel=0.01)
    assert max(sizes.values()) < download.MAX_FILE_BYTES


def test_names_as_they_are_typed() -> None:
    for typed, name in {
        "vit-b/32": "ViT-B/32",
        "ViT_B_32": "ViT-B/32",
        "rn50": "RN50",
        "ViT-L-14-336": "ViT-L/14@336px",
        "openai/clip-vit-base-patch32": "ViT-B/32",
        "siglip2-b32": "siglip2-b32-256",
        "SigLIP2": "siglip2-b32-256",
        "google/siglip2-base-patch32-256": "siglip2-b32-256",
        "datacomp": "datacomp-b32-256",
        "ViT-B-32-256/datacomp_s34b_b86k": "datacomp-b32-256",
        "MobileCLIP2-S0": "mobileclip2-s0",
    }.items():
        assert (canonical(typed), meant(typed)) == (name, name)
    for unclear in ("", "clip", "ViT-H-14", "./ViT-B/32.pt"):
        assert canonical(unclear) is None
    assert len({names._key(model.name) for model in PUBLISHED}) == len(PUBLISHED)


def test_a_file_comes_before_a_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vit-b-32").mkdir()
    assert meant("vit-b-32") is None and meant("ViT-B/32") == "ViT-B/32"


def test_licences() -> None:
    for card, commercial in (
        *(("mit", True), ("Apache-2.0", True), ("cc-by-nc-sa-4.0", False)),
        *(("apple-amlr", False), ("apple-sample-code-license", None)),
    ):
        found = of_card(card)
        assert found is not None and found.commercial is commercial
        assert bool(found.warning) is (commercial is not True)
    assert of_card(None) is None
