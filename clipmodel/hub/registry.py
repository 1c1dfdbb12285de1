"""OpenAI's nine models: their addresses, checksums and configs."""

from dataclasses import dataclass

from clipmodel.config import Activation, ModelConfig, ResNetConfig, TextConfig, VisionConfig

HOME = "https://openaipublic.azureedge.net/clip/models"
# Of the pixels of OpenAI's training pictures in 0..1, for each RGB channel.
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
OPENAI_ACTIVATION: Activation = "quick_gelu"
OPENAI_HEAD_WIDTH = 64  # channels of an attention head, in every tower of every model


@dataclass(frozen=True)
class Pretrained:
    """A model that can be downloaded: the address and hex sha256 of its file, and its config."""

    name: str
    url: str
    sha256: str
    config: ModelConfig

    @property
    def folder_name(self) -> str:
        """The name of its folder in the cache, valid on every file system."""
        return self.name.replace("/", "-")


def _text(width: int) -> TextConfig:
    return TextConfig(
        context_length=77,
        vocab_size=49408,
        width=width,
        layers=12,
        heads=width // OPENAI_HEAD_WIDTH,
        mlp_width=4 * width,
        activation=OPENAI_ACTIVATION,
    )


def _resnet(
    embed_dim: int, image_size: int, width: int, layers: tuple[int, int, int, int], text_width: int
) -> ModelConfig:
    vision = ResNetConfig(image_size, width, layers, heads=32 * width // OPENAI_HEAD_WIDTH)
    return ModelConfig(embed_dim, vision, _text(text_width), OPENAI_MEAN, OPENAI_STD)


def _vit(embed_dim: int, image_size: int, patch_size: int, width: int, layers: int) -> ModelConfig:
    vision = VisionConfig(
        image_size,
        patch_size,
        width,
        layers,
        heads=width // OPENAI_HEAD_WIDTH,
        mlp_width=4 * width,
        activation=OPENAI_ACTIVATION,
    )
    return ModelConfig(embed_dim, vision, _text(embed_dim), OPENAI_MEAN, OPENAI_STD)


def _entry(name: str, sha256: str, file: str, config: ModelConfig) -> Pretrained:
    return Pretrained(name, f"{HOME}/{sha256}/{file}", sha256, config)


_ENTRIES = (
    _entry(
        "RN50",
        "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
        "RN50.pt",
        _resnet(1024, 224, 64, (3, 4, 6, 3), text_width=512),
    ),
    _entry(
        "RN101",
        "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
        "RN101.pt",
        _resnet(512, 224, 64, (3, 4, 23, 3), text_width=512),
    ),
    _entry(
        "RN50x4",
        "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
        "RN50x4.pt",
        _resnet(640, 288, 80, (4, 6, 10, 6), text_width=640),
    ),
    _entry(
        "RN50x16",
        "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
        "RN50x16.pt",
        _resnet(768, 384, 96, (6, 8, 18, 8), text_width=768),
    ),
    _entry(
        "RN50x64",
        "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
        "RN50x64.pt",
        _resnet(1024, 448, 128, (3, 15, 36, 10), text_width=1024),
    ),
    _entry(
        "ViT-B/32",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        "ViT-B-32.pt",
        _vit(512, 224, 32, width=768, layers=12),
    ),
    _entry(
        "ViT-B/16",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        "ViT-B-16.pt",
        _vit(512, 224, 16, width=768, layers=12),
    ),
    _entry(
        "ViT-L/14",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        "ViT-L-14.pt",
        _vit(768, 224, 14, width=1024, layers=24),
    ),
    _entry(
        "ViT-L/14@336px",
        "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
        "ViT-L-14-336px.pt",
        _vit(768, 336, 14, width=1024, layers=24),
    ),
)
REGISTRY = {entry.name: entry for entry in _ENTRIES}
