"""Ranking, labels and claims with models of other families than CLIP's, on random weights."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from clipmodel.model import CLIP
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.torch_backend.loading import load_model
from retrieval import Library
from retrieval.cli.main import cli
from retrieval.errors import InvalidQuery
from retrieval.search.tags import own_probabilities, probabilities
from retrieval.vectors.hubness import HUBNESS_WEIGHT, QueryBank
from tests.clipmodel.small import BERT_CONFIG, SIGLIP_CONFIG, VIT_CONFIG, saved
from tests.clipmodel.vocabularies import pieces

LABELS = ["a dog on the beach", "red cars", "snow"]


def siglip(path: Path) -> ModelFolder:
    """SigLIP with random weights, and the vocabulary that it needs."""
    import sentencepiece

    vocabulary = pieces("siglip")
    size = sentencepiece.SentencePieceProcessor(model_proto=vocabulary).get_piece_size()
    config = replace(SIGLIP_CONFIG, text=replace(SIGLIP_CONFIG.text, vocab_size=size))
    torch.manual_seed(0)
    model = CLIP.of(config)
    with torch.no_grad():
        assert model.logit_bias is not None
        model.logit_bias.fill_(-3.0)
        model.logit_scale.fill_(3.0)
    files = {"pieces.model": vocabulary}
    return save_folder(path, path.name, config, model.state_dict(), files=files)


FAMILIES: dict[str, Callable[[Path], ModelFolder]] = {
    "clip": lambda path: saved(path, VIT_CONFIG),
    "bert": lambda path: saved(path, BERT_CONFIG),
    "siglip": siglip,
}


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    folder: Path = tmp_path_factory.mktemp("families")
    return FAMILIES[request.param](folder / request.param)


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli, [*map(str, arguments), "--library", "library"])
    assert result.exit_code == code, result.output + result.stderr
    return result.stdout if code == 0 else result.stderr


def test_labels_are_as_likely_as_the_model_was_trained_to_say(
    model: ModelFolder, photos: Path
) -> None:
    run("index", photos, "--model", model.path, "--workers", 0)
    Path("labels.txt").write_text("\n".join(LABELS))
    said = run("tag", photos / "large", "--labels", "labels.txt", "--template", "{}", "--json")
    network = load_model(model, "cpu")
    with Library.open("library") as library:
        found = library.catalog.embeddings
        [record] = library.catalog.models()
        ids, vectors = next(found.vectors(record.id))
        paths = library.catalog.images.by_id(ids.tolist())
    texts = TextEncoder(model).encode(LABELS)
    assert network.logit_scale.exp().item() == pytest.approx(TextEncoder(model).scale)
    logits = network.logit_scale.exp() * torch.from_numpy(vectors.astype(np.float32) @ texts.T)
    if network.logit_bias is None:
        likely = logits.softmax(dim=1)
    else:
        likely = (logits + network.logit_bias).sigmoid()
    wanted = {str(paths[int(id)].paths[0]): row for id, row in zip(ids, likely, strict=True)}
    tagged = json.loads(said)
    assert len(tagged) == 6
    for each in tagged:
        row = [each["labels"][label] for label in LABELS]
        np.testing.assert_allclose(row, wanted[each["path"]].detach().numpy(), atol=2e-4)
        assert (sum(row) == pytest.approx(1, abs=1e-4)) == (network.logit_bias is None)


def test_nothing_is_claimed_of_relevance(model: ModelFolder, photos: Path) -> None:
    run("index", photos, "--model", model.path, "--workers", 0)
    matches = json.loads(run("search", "a dog", "--json", "-n", 20))
    assert len(matches) == 12
    assert {(each["relevance"], each["strength"]) for each in matches} == {(None, None)}
    refused = run("search", "a dog", "--min-relevance", "0.5", code=2)
    assert "was not measured on short queries" in refused
    with Library.open("library") as library:
        [record] = library.catalog.models()
        assert record.bank, "its pictures are corrected by its own query bank"
        hubness = library.catalog.embeddings.hubness(record.id, [1, 2])
        bank = QueryBank.of(model)
        vectors = np.stack([library.catalog.embeddings.vector(record.id, id) for id in (1, 2)])
        np.testing.assert_allclose(
            [hubness[1], hubness[2]], bank.measure(vectors).sum(axis=1), atol=1e-3
        )
        with pytest.raises(InvalidQuery, match="no relevance"):
            library.search("a dog", min_relevance=0.1)


def test_a_bank_is_kept_for_each_model(tmp_path: Path) -> None:
    one, other = saved(tmp_path / "a", VIT_CONFIG), siglip(tmp_path / "b")
    assert QueryBank.of(one).vectors.shape != QueryBank.of(other).vectors.shape
    assert len(list(tmp_path.glob("?/bank-*.npy"))) == 2
    np.testing.assert_array_equal(QueryBank.of(other).vectors, QueryBank.of(other).vectors)


def test_the_ranking_does_not_depend_on_how_wide_and_high_a_models_cosines_are() -> None:
    """SigLIP's are about 0.1, CLIP's 0.2 to 0.3: squeezed and shifted, the order is the same."""

    def ranking(pictures: np.ndarray, texts: np.ndarray, bank: np.ndarray) -> list[int]:
        hubness = QueryBank(bank).measure(pictures).sum(axis=1)
        return np.argsort(HUBNESS_WEIGHT * hubness - texts @ pictures.T, axis=1).ravel().tolist()

    generator = np.random.default_rng(0)
    drawn = (generator.normal(size=(count, 32)).astype(np.float32) for count in (40, 20, 60))
    parts = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in drawn]
    squeezed = [
        np.hstack([0.3**0.5 * each, np.full((len(each), 1), 0.7**0.5, np.float32)])
        for each in parts
    ]
    assert ranking(*parts) == ranking(*squeezed)
    by_cosine = np.argsort(-(parts[1] @ parts[0].T), axis=1).ravel().tolist()
    assert by_cosine != ranking(*parts)


def test_probabilities_by_hand() -> None:
    pictures, labels = np.eye(2, dtype=np.float32), np.array([[1, 0], [0.6, 0.8]], np.float32)
    odds = np.exp([10, 6])
    np.testing.assert_allclose(probabilities(pictures, labels, 10)[0], odds / odds.sum(), rtol=1e-5)
    likely = own_probabilities(pictures, labels, 10, -8)
    np.testing.assert_allclose(likely[0], [1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))], rtol=1e-5)
    extreme = own_probabilities(pictures, labels, 1e6, -5e5)
    assert np.isfinite(extreme).all() and extreme[0, 0] == 1
