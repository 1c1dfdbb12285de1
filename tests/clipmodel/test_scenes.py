"""Painted scenes: what is said of them is true, what is held out stays out, and all can be seen."""

import numpy as np
import pytest
from PIL import Image

from clipmodel.training.painting import GROUNDS, PAINTS, paint
from clipmodel.training.scenes import (
    ASKED_IN_DEMO,
    COLOURS,
    KINDS,
    SETTINGS,
    Scene,
    Thing,
    captions,
    held_out,
    imagine,
    queries,
    vocabulary,
)


def test_things_are_said_as_english_has_it() -> None:
    assert Thing("car", "red", 1).said() == "a red car"
    assert Thing("apple", "orange", 1).said() == "an orange apple"
    assert Thing("umbrella", "", 1).said(colour=False) == "an umbrella"
    assert Thing("butterfly", "blue", 3).said() == "three blue butterflies"
    assert Thing("balloon", "", 2).said(colour=False) == "two balloons"


def test_captions_name_only_what_is_there() -> None:
    for seed in range(200):
        scene = imagine(seed, "train")
        colours = {thing.colour for thing in scene.things}
        kinds = {thing.kind for thing in scene.things}
        for caption in captions(scene, seed):
            for where in SETTINGS[scene.setting]:  # "under an orange sky" speaks of no thing
                caption = caption.replace(where, "")
            words = caption.replace("butterflies", "butterfly").split()
            said = {word.removesuffix("s") if word not in KINDS else word for word in words}
            assert {word for word in words if word in COLOURS} <= colours
            assert {word for word in said if word in KINDS} <= kinds


def test_training_never_shows_what_is_held_out() -> None:
    scenes = [imagine(seed, "train") for seed in range(3000)]
    assert not any(held_out(part) for scene in scenes for part in scene.parts())
    assert not any(held_out(part) for part in ASKED_IN_DEMO)


def test_there_are_enough_unseen_queries_and_answers_to_each() -> None:
    scenes = [imagine(seed, "test") for seed in range(4000)]
    asked = queries()
    assert len(asked) >= 100
    assert len({query.text for query in asked}) == len(asked)
    for query in asked:
        assert sum(query.matches(scene) for scene in scenes) >= 15, query.text


def test_a_number_is_exact_and_a_colour_is_not_a_number() -> None:
    scene = Scene("day", (Thing("balloon", "red", 3),))
    asked = {part for part in scene.parts()}
    assert ("balloon", 3) in asked and ("balloon", 2) not in asked
    assert ("balloon", "red") in asked


def test_a_scene_is_a_function_of_its_seed_and_split() -> None:
    assert imagine(5, "train") == imagine(5, "train")
    assert [imagine(s, "train") for s in range(20)] != [imagine(s, "test") for s in range(20)]
    scene = imagine(5, "train")
    assert paint(scene, 64, 48, 5).tobytes() == paint(scene, 64, 48, 5).tobytes()
    assert paint(scene, 64, 48, 5).tobytes() != paint(scene, 64, 48, 6).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_seen(kind: str) -> None:
    with_it = paint(Scene("desert", (Thing(kind, "blue", 1),)), 96, 96, 0)
    assert with_it.size == (96, 96) and with_it.mode == "RGB"
    blue = np.asarray(with_it, np.int16)
    shown = (np.abs(blue - PAINTS["blue"]).sum(axis=2) < 90).mean()
    assert shown > 0.01, f"{shown:.3f} of the picture is blue"


def test_every_setting_and_colour_has_its_paint() -> None:
    assert set(GROUNDS) == set(SETTINGS)
    assert set(PAINTS) == set(COLOURS)
    assert {"car", "red", "three", "night"} <= set(vocabulary())


def test_a_scene_fits_any_shape() -> None:
    for width, height in ((320, 240), (90, 200), (16, 16)):
        assert isinstance(paint(imagine(3, "test"), width, height, 3), Image.Image)
