"""The training: batches are functions of the step, losses mean what they say, a run learns."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clipmodel.config import ResNetConfig, TextConfig
from clipmodel.training.augment import PHOTO, crop, jitter
from clipmodel.training.corpus import caption_words, pairs, prompts
from clipmodel.training.course import TINY, Course, Look
from clipmodel.training.data import Collection, label_captions
from clipmodel.training.evaluate import recall
from clipmodel.training.imitate import Lessons, principal_axes
from clipmodel.training.loop import Plan, optimise
from clipmodel.training.losses import contrast, imitation, targets
from clipmodel.training.material import Material
from clipmodel.training.train import Learner, at_size, train

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 200, 60),
    "blue": (40, 60, 220),
    "white": (240, 240, 240),
}
SMALL = replace(
    TINY,
    embed_dim=16,
    vision=ResNetConfig(image_size=64, width=8, layers=(1, 1, 1, 1), heads=4),
    text=TextConfig(
        context_length=77,
        vocab_size=49408,
        width=16,
        layers=1,
        heads=2,
        mlp_width=32,
        activation="gelu",
    ),
)

LOOK = Look(Plan("small", steps=40, rate=5e-3, decay=0.0), size=64, photos=4, things=4, scenes=4)


def squares(name: str) -> Collection:
    """Plain pictures, each of one colour, captioned with its name."""
    pictures = [np.full((64, 64, 3), colour, np.uint8) for colour in COLOURS.values()]
    return Collection(name, np.stack(pictures), [[f"a {word} square"] for word in COLOURS])


@pytest.fixture
def material() -> Material:
    texts = [caption for captions in squares("photos").captions for caption in captions]
    vectors = np.random.default_rng(0).normal(size=(len(texts), 384))
    taught = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    return Material(
        photos=squares("photos"),
        things=squares("things"),
        scenes=replace(squares("scenes"), truths=np.eye(4, dtype=bool)),
        statements=list(COLOURS),
        taught=dict(zip(texts, taught, strict=True)),
        lessons=Lessons(texts, taught, seed=0),
        head=torch.randn(384, 16, generator=torch.manual_seed(0)) / 20,
    )


def test_a_crop_has_the_size_asked_for_and_is_deterministic() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    once, again = (crop(picture, 64, PHOTO, random.Random(3)) for _ in range(2))
    assert once.shape == (64, 64, 3)
    np.testing.assert_array_equal(once, again)


def test_jitter_of_no_strength_changes_nothing() -> None:
    pixels = torch.rand(2, 3, 8, 8)
    changed = jitter(pixels, torch.tensor([0.0, 0.5]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(changed[0], pixels[0])
    assert not torch.allclose(changed[1], pixels[1])


def test_every_picture_comes_once_before_any_comes_again(material: Material) -> None:
    sampler = material.sampler(LOOK)
    for step in range(5):
        assert sorted(sampler.batch(step, 64).captions[:4]) == sorted(
            f"a {word} square" for word in COLOURS
        )


def test_a_batch_is_a_function_of_its_step(material: Material) -> None:
    sampler, lessons = material.sampler(LOOK), material.lessons
    ahead = [batch for _, batch in sampler.batches(range(3), 64)]
    assert torch.equal(ahead[2].pixels, sampler.batch(2, 64).pixels)
    assert not torch.equal(ahead[1].pixels, ahead[2].pixels)
    assert torch.equal(lessons.batch(7, 5)[0], lessons.batch(7, 5)[0])


def test_equal_captions_share_the_target() -> None:
    wanted = targets(["a dog", "a cat", "a dog"], torch.eye(3), softness=0.0)
    torch.testing.assert_close(
        wanted, torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    )


def test_likeness_softens_targets_which_still_sum_to_one() -> None:
    likeness = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    wanted = targets(["a dog", "a puppy", "a car"], likeness, softness=0.3)
    torch.testing.assert_close(wanted.sum(dim=1), torch.ones(3))
    assert wanted[0, 1] > 10 * wanted[0, 2]


def test_the_losses_are_least_where_all_agrees() -> None:
    vectors, others = torch.eye(4), torch.eye(4).roll(1, dims=0)
    wanted, scale = torch.eye(4), torch.tensor(50.0)
    assert (
        contrast(vectors, vectors, scale, wanted) < 1e-3 < contrast(vectors, others, scale, wanted)
    )
    assert imitation(vectors, vectors) < 1e-3 < imitation(others, vectors)


def test_recall_counts_texts_whose_picture_is_near() -> None:
    pictures, texts = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[0, 1, 1]]
    assert recall(pictures, texts, np.array([0, 1, 2]), k=1) == pytest.approx(2 / 3)


def test_the_corpus_speaks_of_every_word() -> None:
    assert caption_words(["a dog runs", "the dog", "dog"]) == ["dog"]
    assert len(prompts(["boat", "owl"], seed=0, each=3)) == 6
    assert all(len(text.split()) >= 2 for text in pairs(["boat", "owl"], seed=0, count=5))
    assert label_captions("goldfish, Carassius auratus")[0] == "a photo of a goldfish"


def test_principal_axes_are_orthonormal() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float16)
    axes = principal_axes(vectors, 16)
    torch.testing.assert_close(axes.T @ axes, torch.eye(16), atol=1e-5, rtol=0)


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


def test_pictures_of_another_size_keep_their_weights() -> None:
    learner = Learner(SMALL, torch.randn(384, 16))
    larger = at_size(learner, SMALL, 96)
    assert larger.model.visual.input_resolution == 96
    assert larger.model.visual.attnpool.positional_embedding.shape[0] == 10  # type: ignore[union-attr]
    torch.testing.assert_close(larger.model.visual.conv1.weight, learner.model.visual.conv1.weight)


def test_a_short_training_learns_colours_and_resumes(material: Material, tmp_path: Path) -> None:
    course = Course(
        words=Plan("words", steps=20, rate=1e-2, decay=0.0),
        looks=(
            replace(LOOK, size=32),
            replace(LOOK, plan=Plan("large", steps=20, rate=2e-3, decay=0.0)),
        ),
        scenes=0,
    )
    model = train(SMALL, course, material, tmp_path, "cpu")
    batch = material.sampler(LOOK).batch(1000, 64)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (TINY.mean, TINY.std))
    with torch.inference_mode():
        logits, _ = model((batch.pixels / 255 - mean) / std, batch.tokens)
    assert [batch.captions[i] for i in logits.argmax(dim=1)] == batch.captions
    again = train(SMALL, course, material, tmp_path, "cpu")  # all is done: only read
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=0, rtol=0)
