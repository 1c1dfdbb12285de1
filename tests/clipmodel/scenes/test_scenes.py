"""Painted scenes: what is said of them is true, what is held out stays out, and all can be seen."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from clipmodel.scenes.backdrops import BEHIND, GROUNDS
from clipmodel.scenes.painting import PAINTS, paint
from clipmodel.scenes.scene import (
    ASKED_IN_DEMO,
    BLENDING,
    COLOURS,
    KINDS,
    NUMBERS,
    SETTINGS,
    Scene,
    Thing,
    asked_for,
    captions,
    held_out,
    imagine,
    in_the_air,
    queries,
    vocabulary,
)

SINGULAR = {Thing(kind, "", 2).said(colour=False, counted=False): kind for kind in KINDS}


def kinds_in(caption: str) -> Counter[str]:
    words = (SINGULAR.get(word.strip(","), word.strip(",")) for word in caption.split())
    return Counter(word for word in words if word in KINDS)


def without_setting(caption: str, scene: Scene) -> str:
    for where in sorted(SETTINGS[scene.setting], key=len, reverse=True):
        caption = caption.replace(where, "")
    return caption


def test_things_are_said_as_english_has_it() -> None:
    assert Thing("car", "red", 1).said() == "a red car"
    assert Thing("apple", "orange", 1).said() == "an orange apple"
    assert Thing("umbrella", "", 1).said(colour=False) == "an umbrella"
    assert Thing("butterfly", "blue", 3).said() == "three blue butterflies"
    assert Thing("fish", "", 5).said(colour=False) == "five fish"
    assert Thing("balloon", "red", 2).said(counted=False) == "red balloons"


def test_combinations_are_asked_for_as_people_do() -> None:
    assert asked_for(("car", "red")) == "a red car"
    assert asked_for(("balloon", 3)) == "three balloons"
    assert asked_for(("house", "night")) == "a house at night"


def test_captions_are_true() -> None:
    for seed in range(300):
        scene = imagine(seed, "train")
        sayable = {thing.said(colour=c, counted=n) for thing in scene.things for c in (True, False)
                   for n in (True, False)}  # fmt: skip
        for caption in captions(scene, seed):
            said = without_setting(caption, scene)
            assert kinds_in(said) <= Counter(thing.kind for thing in scene.things), caption
            phrases = said.replace(" above ", " and ").split(" and ")
            for phrase in phrases:
                words = phrase.replace(",", "").strip()
                assert any(words == s or words.endswith(" of " + s) for s in sayable), caption


def test_above_is_said_of_what_flies_over_what_stands() -> None:
    scene = Scene("night", (Thing("house", "red", 1), Thing("balloon", "yellow", 3)))
    said = {caption for seed in range(50) for caption in captions(scene, seed)}
    assert "three yellow balloons above a red house at night" in said
    assert not any("house above" in caption for caption in said)


def test_no_setting_is_told_in_words_that_name_a_thing_or_a_colour() -> None:
    told = [where for wheres in SETTINGS.values() for where in wheres]
    assert not {word for where in told for word in where.split()} & {*KINDS, *COLOURS}
    assert len(set(told)) == len(told)


def test_training_never_shows_what_is_held_out() -> None:
    scenes = [imagine(seed, "train") for seed in range(5000)]
    assert not any(held_out(part) for scene in scenes for part in scene.parts())
    assert not any(held_out(part) for part in ASKED_IN_DEMO)
    unseen = {query.text for query in queries()}
    assert not any(unseen & set(captions(scene, seed)) for seed, scene in enumerate(scenes))


def test_training_shows_everything_else_evenly() -> None:
    scenes = [imagine(seed, "train") for seed in range(5000)]
    kinds = Counter(thing.kind for scene in scenes for thing in scene.things)
    assert set(kinds) == set(KINDS) and max(kinds.values()) < 1.5 * min(kinds.values())
    parts = Counter(part for scene in scenes for part in scene.parts())
    coloured = [(k, c) for k in KINDS for c in COLOURS]
    placed = [(k, s) for k in KINDS for s in SETTINGS]
    counted = [(k, n) for k in KINDS for n in NUMBERS]
    assert all(parts[part] >= 5 for part in coloured + placed + counted if not held_out(part))


def test_there_are_a_hundred_unseen_queries_with_answers_enough() -> None:
    scenes = [imagine(seed, "test") for seed in range(4000)]
    asked = queries()
    assert len({query.text for query in asked}) == len(asked) == 100
    for query in asked:
        assert 20 <= sum(query.matches(scene) for scene in scenes) <= 400, query.text


def test_a_query_is_true_of_a_number_exactly_and_of_a_colour_in_any_number() -> None:
    parts = set(Scene("day", (Thing("balloon", "red", 3),)).parts())
    assert ("balloon", 3) in parts and ("balloon", 2) not in parts and ("balloon", 1) not in parts
    assert ("balloon", "red") in parts and ("balloon", "day") in parts


@pytest.mark.parametrize("part", sorted(ASKED_IN_DEMO, key=str))
def test_a_scene_may_be_asked_to_have_something(part: tuple[str, str | int]) -> None:
    for seed in range(40):
        assert part in imagine(seed, "test", part).parts()


def test_a_scene_is_a_function_of_its_seed_and_split() -> None:
    assert imagine(5, "train") == imagine(5, "train")
    scene = imagine(5, "train")
    assert paint(scene, 64, 48, 5).tobytes() == paint(scene, 64, 48, 5).tobytes()
    assert paint(scene, 64, 48, 5).tobytes() != paint(scene, 64, 48, 6).tobytes()


def test_no_picture_of_the_test_is_a_picture_of_the_training() -> None:
    """A picture follows from its scene and seed: no seed may imagine one scene in both splits."""
    assert all(imagine(seed, "train") != imagine(seed, "test") for seed in range(4000))


def test_no_scene_hides_what_it_shows() -> None:
    for seed in range(2000):
        scene = imagine(seed, "test")
        assert not any((thing.colour, scene.setting) in BLENDING for thing in scene.things)
        assert len({thing.kind for thing in scene.things}) == len(scene.things)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_seen_in_its_colour(kind: str) -> None:
    picture = paint(Scene("desert", (Thing(kind, "blue", 1),)), 96, 96, 0)
    assert picture.size == (96, 96) and picture.mode == "RGB"
    far = np.abs(np.asarray(picture, np.int16) - PAINTS["blue"]).sum(axis=2)
    assert (far < 90).mean() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_stays_within_the_picture(kind: str) -> None:
    """Nothing of a thing reaches the outermost pixels: it is painted whole."""
    for number in NUMBERS:
        red = paint(Scene("room", (Thing(kind, "red", number),)), 96, 96, number)
        blue = paint(Scene("room", (Thing(kind, "blue", number),)), 96, 96, number)
        differ = (np.asarray(red, np.int16) - np.asarray(blue, np.int16)).any(axis=2)
        assert differ.any()
        assert not (
            differ[0].any() or differ[-1].any() or differ[:, 0].any() or differ[:, -1].any()
        )


def test_kinds_do_not_look_alike() -> None:
    pictures = {
        kind: np.asarray(paint(Scene("room", (Thing(kind, "blue", 1),)), 48, 48, 3), np.int16)
        for kind in KINDS
    }
    for one, other in combinations(KINDS, 2):
        assert (np.abs(pictures[one] - pictures[other]).sum(axis=2) > 60).mean() > 0.02, (
            one,
            other,
        )


def test_every_setting_and_colour_has_its_paint() -> None:
    assert set(GROUNDS) == set(SETTINGS) == set(BEHIND)
    assert set(PAINTS) == set(COLOURS)
    assert any(map(in_the_air, KINDS)) and not all(map(in_the_air, KINDS))
    assert {"car", "red", "three", "night"} <= set(vocabulary())


def test_a_scene_fits_any_shape() -> None:
    for width, height in ((320, 240), (90, 200), (16, 16), (1, 1)):
        picture = paint(imagine(3, "test"), width, height, 3)
        assert isinstance(picture, Image.Image) and picture.size == (width, height)
