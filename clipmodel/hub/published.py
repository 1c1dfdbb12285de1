"""Published models that have a short name here, with the facts that help to choose one.

Each name, repository and figure was read in its publisher's own list:
- repository and ARCH/TAG: `open_clip/pretrained.py` of OpenCLIP 3.3, which a test compares; SigLIP
  2's: README_siglip2.md of google-research/big_vision
- R@1 (of pictures, by text): docs/openclip_retrieval_results.csv of mlfoundations/open_clip; SigLIP
  2's and PE's (COCO alone): the README above, and apps/pe/README.md of
  facebookresearch/perception_models; MobileCLIP 2's: results/ of apple/ml-mobileclip
- parameters: docs/model_profile.csv of mlfoundations/open_clip, else those that OpenCLIP 3.3 builds
- licences: OpenAI's repository; docs/PRETRAINED.md of mlfoundations/open_clip (MetaCLIP);
  LICENSE_MODELS of apple/ml-mobileclip; apps/pe/README.md; the README of big_vision and the cards
  of google/siglip2-* (SigLIP); the cards of XLM-RoBERTa's models. Those of DataComp's B/32, LAION's
  H/14 and DFN's B/16 were read where others quote the cards. Where none is given, none was read. In
  any case the card is read, and what it forbids is said, before the download.
"""

from dataclasses import dataclass
from typing import Any

from clipmodel.config import TextConfig
from clipmodel.hub.licences import APACHE, APPLE, CC_BY_NC, MIT, OF_APPLE, Licence
from clipmodel.hub.registry import REGISTRY

ENGLISH, MANY = "English", "many"
_HALF, _WHOLE = 2, 4  # bytes of a number


@dataclass(frozen=True)
class Published:
    """A model, and what is known of it without its weights. R@1: of 1."""

    name: str
    family: str
    parameters: float  # millions
    image_size: int  # pixels per side
    embed_dim: int
    licence: Licence | None = None
    flickr: float | None = None  # R@1 on Flickr30k's 1,000 test pictures
    coco: float | None = None  # R@1 on COCO's 5,000
    languages: str = ENGLISH
    repository: str = ""  # on the Hugging Face hub; OpenAI's and ours are not fetched there
    openclip: str = ""  # ARCH/TAG, as OpenCLIP calls it
    quick_gelu: bool = False  # OpenCLIP's list says so, whether or not the repository does
    aliases: tuple[str, ...] = ()
    needs: str = ""  # the module without which it is of no use, from the extra `models`

    @property
    def bytes(self) -> int:
        """About what is fetched. OpenAI halves all matrices but that of the tokens."""
        if (openai := REGISTRY.get(self.name)) is None:
            return round(self.parameters * 1e6) * (_WHOLE if self.repository else 0)
        text = openai.config.text
        assert isinstance(text, TextConfig)
        return round(self.parameters * 1e6) * _HALF + text.vocab_size * text.width * _HALF


def _openai(name: str, parameters: float, flickr: float, coco: float, *aliases: str) -> Published:
    config = REGISTRY[name].config
    size, dim = config.vision.image_size, config.embed_dim
    hub = tuple(f"openai/clip-{alias}" for alias in aliases)
    shorter = name.removesuffix("px")  # OpenCLIP's ViT-L-14-336
    known = (shorter, *hub, *(f"clip-{alias}" for alias in aliases))
    return Published(name, "CLIP", parameters, size, dim, MIT, flickr, coco, aliases=known)


def _clip(
    name: str, arch: str, tag: str, repository: str, facts: tuple[float, int, int], **more: Any
) -> Published:
    family = more.pop("family", "CLIP")
    return Published(name, family, *facts, repository=repository, openclip=f"{arch}/{tag}", **more)


def _siglip(
    name: str, arch: str, facts: tuple[float, int, int], flickr: float, coco: float, **more: Any
) -> Published:
    more = {"licence": APACHE, "family": "SigLIP", "needs": "sentencepiece"} | more
    return _clip(name, arch, "webli", f"timm/{arch}", facts, flickr=flickr, coco=coco, **more)


def _siglip2(
    name: str, arch: str, repository: str, facts: tuple[float, int, int], coco: float, *aliases: str
) -> Published:
    return _clip(
        f"siglip2-{name}",
        f"ViT-{arch}",
        "webli",
        f"google/siglip2-{repository}",
        facts,
        **{"family": "SigLIP 2", "licence": APACHE, "coco": coco, "languages": MANY},
        aliases=tuple(f"siglip2{alias}" for alias in aliases),
        needs="sentencepiece",
    )


def _mobile(name: str, facts: tuple[float, int, int], **more: Any) -> Published:
    arch = f"MobileCLIP2-{name}"
    return _clip(
        f"mobileclip2-{name.replace('-', '').lower()}",
        arch,
        "dfndr2b",
        f"timm/{arch}-OpenCLIP",
        facts,
        **{"family": "MobileCLIP 2", "licence": APPLE, "needs": "open_clip"} | more,
    )


def _pe(name: str, arch: str, facts: tuple[float, int, int], coco: float | None) -> Published:
    return _clip(
        f"pe-core-{name}",
        f"PE-Core-{arch}",
        "meta",
        f"timm/PE-Core-{arch}",
        facts,
        **{"family": "PE", "licence": APACHE, "coco": coco, "needs": "open_clip"},
    )


def _metaclip(
    name: str, arch: str, size: str, facts: tuple[float, int, int], flickr: float, coco: float
) -> Published:
    repository = f"timm/vit_{size}_clip_224.metaclip_2pt5b"
    more = {"licence": CC_BY_NC, "flickr": flickr, "coco": coco, "quick_gelu": True}
    return _clip(f"metaclip-{name}", arch, "metaclip_fullcc", repository, facts, **more)


PUBLISHED = (
    _openai("RN50", 102.01, 0.5736, 0.2854),
    _openai("RN101", 119.69, 0.5804, 0.3069),
    _openai("RN50x4", 178.3, 0.6258, 0.3339),
    _openai("RN50x16", 290.98, 0.6534, 0.3541),
    _openai("RN50x64", 623.26, 0.6898, 0.3524),
    _openai("ViT-B/32", 151.28, 0.5878, 0.3044, "vit-base-patch32"),
    _openai("ViT-B/16", 149.62, 0.6216, 0.3309, "vit-base-patch16"),
    _openai("ViT-L/14", 427.62, 0.6496, 0.3651, "vit-large-patch14"),
    _openai("ViT-L/14@336px", 427.94, 0.6690, 0.3709, "vit-large-patch14-336"),
    _clip(
        "datacomp-b32-256",
        "ViT-B-32-256",
        "datacomp_s34b_b86k",
        "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
        (151.29, 256, 512),
        **{"licence": MIT, "flickr": 0.6492, "coco": 0.3993},
        aliases=("datacomp", "datacomp-b32"),
    ),
    _clip(
        "datacomp-b16",
        "ViT-B-16",
        "datacomp_xl_s13b_b90k",
        "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
        (149.62, 224, 512),
        **{"flickr": 0.6756, "coco": 0.4016},
    ),
    _clip(
        "datacomp-l14",
        "ViT-L-14",
        "datacomp_xl_s13b_b90k",
        "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K",
        (427.62, 224, 768),
        **{"flickr": 0.7338, "coco": 0.4573},
    ),
    _clip(
        "laion2b-b32",
        "ViT-B-32",
        "laion2b_s34b_b79k",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        (151.28, 224, 512),
        **{"flickr": 0.6678, "coco": 0.3934},
    ),
    _clip(
        "laion2b-b16",
        "ViT-B-16",
        "laion2b_s34b_b88k",
        "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
        (149.62, 224, 512),
        **{"flickr": 0.6984, "coco": 0.4231},
    ),
    _clip(
        "laion2b-l14",
        "ViT-L-14",
        "laion2b_s32b_b82k",
        "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
        (427.62, 224, 768),
        **{"flickr": 0.7552, "coco": 0.4651},
    ),
    _clip(
        "laion2b-h14",
        "ViT-H-14",
        "laion2b_s32b_b79k",
        "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        (986.11, 224, 1024),
        **{"licence": MIT, "flickr": 0.7764, "coco": 0.4948},
    ),
    _clip(
        "dfn2b-b16",
        "ViT-B-16",
        "dfn2b",
        "apple/DFN2B-CLIP-ViT-B-16",
        (149.62, 224, 512),
        **{"licence": APPLE, "flickr": 0.6912, "coco": 0.4339, "quick_gelu": True},
    ),
    _clip(
        "dfn2b-l14",
        "ViT-L-14",
        "dfn2b",
        "apple/DFN2B-CLIP-ViT-L-14",
        (427.62, 224, 768),
        **{"licence": OF_APPLE, "flickr": 0.7546, "coco": 0.4856, "quick_gelu": True},
    ),
    _clip(
        "dfn5b-h14",
        "ViT-H-14",
        "dfn5b",
        "apple/DFN5B-CLIP-ViT-H-14",
        (986.11, 224, 1024),
        **{"licence": OF_APPLE, "flickr": 0.8012, "coco": 0.5391, "quick_gelu": True},
    ),
    _clip(
        "dfn5b-h14-378",
        "ViT-H-14-378",
        "dfn5b",
        "apple/DFN5B-CLIP-ViT-H-14-378",
        (986.71, 378, 1024),
        **{"licence": OF_APPLE, "flickr": 0.8202, "coco": 0.5564, "quick_gelu": True},
    ),
    _metaclip("b32", "ViT-B-32", "base_patch32", (151.28, 224, 512), 0.6510, 0.3806),
    _metaclip("b16", "ViT-B-16", "base_patch16", (149.62, 224, 512), 0.7072, 0.4134),
    _metaclip("l14", "ViT-L-14", "large_patch14", (427.62, 224, 768), 0.7642, 0.4709),
    _metaclip("h14", "ViT-H-14", "huge_patch14", (986.11, 224, 1024), 0.7834, 0.4882),
    _siglip("siglip-b16-224", "ViT-B-16-SigLIP", (203.16, 224, 768), 0.7468, 0.4778),
    _siglip("siglip-b16-256", "ViT-B-16-SigLIP-256", (203.2, 256, 768), 0.7504, 0.4834),
    _siglip("siglip-b16-384", "ViT-B-16-SigLIP-384", (203.45, 384, 768), 0.7848, 0.4990),
    _siglip("siglip-b16-512", "ViT-B-16-SigLIP-512", (203.79, 512, 768), 0.7906, 0.5055),
    _siglip("siglip-l16-256", "ViT-L-16-SigLIP-256", (652.15, 256, 1024), 0.7904, 0.5228),
    _siglip("siglip-l16-384", "ViT-L-16-SigLIP-384", (652.48, 384, 1024), 0.8142, 0.5391),
    _siglip("siglip-so400m14-224", "ViT-SO400M-14-SigLIP", (877.36, 224, 1152), 0.7526, 0.5176),
    _siglip("siglip-so400m14-384", "ViT-SO400M-14-SigLIP-384", (877.96, 384, 1152), 0.8296, 0.5421),
    _siglip(
        "siglip-i18n-b16-256",
        "ViT-B-16-SigLIP-i18n-256",
        (370.63, 256, 768),
        *(0.7216, 0.4492),
        languages=MANY,
    ),
    _siglip2(
        "b32-256", "B-32-SigLIP2-256", "base-patch32-256", (376.86, 256, 768), 0.472, "-b32", ""
    ),
    _siglip2("b16-224", "B-16-SigLIP2", "base-patch16-224", (375.19, 224, 768), 0.521),
    _siglip2("b16-256", "B-16-SigLIP2-256", "base-patch16-256", (375.23, 256, 768), 0.532, "-b16"),
    _siglip2("b16-384", "B-16-SigLIP2-384", "base-patch16-384", (375.48, 384, 768), 0.546),
    _siglip2("b16-512", "B-16-SigLIP2-512", "base-patch16-512", (375.82, 512, 768), 0.552),
    _siglip2(
        "l16-256", "L-16-SigLIP2-256", "large-patch16-256", (881.53, 256, 1024), 0.547, "-l16"
    ),
    _siglip2("l16-384", "L-16-SigLIP2-384", "large-patch16-384", (881.85, 384, 1024), 0.553),
    _siglip2("l16-512", "L-16-SigLIP2-512", "large-patch16-512", (882.31, 512, 1024), 0.552),
    _siglip2(
        "so400m14-224", "SO400M-14-SigLIP2", "so400m-patch14-224", (1135.46, 224, 1152), 0.551
    ),
    _siglip2(
        "so400m14-384", "SO400M-14-SigLIP2-378", "so400m-patch14-384", (1136.01, 384, 1152), 0.558
    ),
    _siglip2(
        "so400m16-256", "SO400M-16-SigLIP2-256", "so400m-patch16-256", (1135.67, 256, 1152), 0.554
    ),
    _siglip2(
        "so400m16-384", "SO400M-16-SigLIP2-384", "so400m-patch16-384", (1136.04, 384, 1152), 0.56
    ),
    _siglip2(
        "so400m16-512", "SO400M-16-SigLIP2-512", "so400m-patch16-512", (1136.56, 512, 1152), 0.56
    ),
    _siglip2(
        "gopt16-256", "gopt-16-SigLIP2-256", "giant-opt-patch16-256", (1871.39, 256, 1536), 0.557
    ),
    _siglip2(
        "gopt16-384", "gopt-16-SigLIP2-384", "giant-opt-patch16-384", (1871.89, 384, 1536), 0.561
    ),
    _mobile("S0", (74.84, 256, 512), flickr=0.6922, coco=0.4368),
    _mobile("S2", (99.24, 256, 512)),
    _mobile("B", (149.78, 224, 512)),
    _mobile("S3", (248.89, 256, 768)),
    _mobile("S4", (445.44, 256, 768)),
    _mobile("L-14", (427.62, 224, 768)),
    _pe("t16-384", "T-16-384", (69.55, 384, 512), None),
    _pe("s16-384", "S-16-384", (87.19, 384, 512), None),
    _pe("b16", "B-16", (447.66, 224, 1024), 0.509),
    _pe("l14-336", "L-14-336", (671.14, 336, 1024), 0.571),
    _pe("g14-448", "bigG-14-448", (2419.27, 448, 1280), 0.581),
    _clip(
        "xlm-roberta-b32",
        "xlm-roberta-base-ViT-B-32",
        "laion5b_s13b_b90k",
        "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
        (366.12, 224, 512),
        **{"licence": MIT, "flickr": 0.6448, "coco": 0.3778, "languages": MANY},
        needs="sentencepiece",
    ),
    _clip(
        "xlm-roberta-h14",
        "xlm-roberta-large-ViT-H-14",
        "frozen_laion5b_s13b_b90k",
        "laion/CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k",
        (1193.01, 224, 1024),
        **{"licence": MIT, "flickr": 0.7742, "coco": 0.4921, "languages": MANY},
        needs="sentencepiece",
    ),
    _clip(
        "metaclip2-h14",
        "ViT-H-14-worldwide",
        "metaclip2_worldwide",
        "timm/vit_huge_patch14_clip_224.metaclip2_worldwide",
        (1858.78, 224, 1024),
        **{"licence": CC_BY_NC, "languages": MANY, "quick_gelu": True},
        needs="sentencepiece",
    ),
)
