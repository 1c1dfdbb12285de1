"""The searches of one open library: which models answer, each with its encoder and vectors."""

from collections.abc import Sequence
from contextlib import suppress

from clipmodel.config import Resize
from clipmodel.pools import Lock
from retrieval.catalog.reading import Catalog
from retrieval.errors import LibraryEmpty, ModelMismatch, ModelUnavailable
from retrieval.models.devices import ANY, DeviceChoice
from retrieval.records import Match, ModelRecord
from retrieval.search.answer import answered, why_empty
from retrieval.search.options import SearchOptions
from retrieval.search.query_encoder import QueryEncoder
from retrieval.search.question import Question
from retrieval.search.using import EVERY, before_fusion, fused, models_used
from retrieval.vectors.nearest import Searcher


class Answering:
    """Answers from one catalog. Safe to use from any number of threads."""

    def __init__(self, catalog: Catalog, on: DeviceChoice = ANY) -> None:
        """on: the device that encodes new example pictures."""
        self._catalog, self._on = catalog, on
        self._searcher = Searcher(catalog)
        self._opening = Lock()
        self._encoders: dict[int, QueryEncoder] = {}  # by the id of the model

    def close(self) -> None:
        self._searcher.close()

    def current(self) -> ModelRecord:
        """Return the model that searches use. Raises LibraryEmpty."""
        if (model := self._catalog.current_model()) is None:
            raise LibraryEmpty(why_empty(self._catalog))
        return model

    def encoder(self, model: ModelRecord) -> QueryEncoder:
        """Return the towers of a model, opened once."""
        with self._opening:
            held = self._encoders.get(model.id)
            if held is None or held.record != model:
                held = self._encoders[model.id] = QueryEncoder(self._catalog, model, self._on)
            return held

    def resizes(self) -> list[Resize]:
        """Return how each model's pixels are made, without models whose weights are gone; the
        current one's first. Raises ModelUnavailable, ModelMismatch for the current one's.
        """
        current = self.current()
        found = {self.encoder(current).resize: None}
        for model in models_used(self._catalog, EVERY):
            if model != current:
                with suppress(ModelUnavailable, ModelMismatch):
                    found[self.encoder(model).resize] = None
        return list(found)

    def answers(self, questions: Sequence[Question], how: SearchOptions) -> list[list[Match]]:
        """Return the matches of each question. Raises what `Library.search` raises."""
        current = self.current()
        if how.using is None:
            answers = self._answers_of(current, questions, how)
            if self._catalog.current_model() != current:  # another process has switched since
                return self.answers(questions, how)
            return answers
        used = models_used(self._catalog, how.using)
        if len(used) == 1:
            return self._answers_of(used[0], questions, how)
        each = before_fusion(how)
        rows = [self._answers_of(model, questions, each) for model in used]
        return [fused(answers, how) for answers in zip(*rows, strict=True)]

    def _answers_of(
        self, model: ModelRecord, questions: Sequence[Question], how: SearchOptions
    ) -> list[list[Match]]:
        self._searcher.prepare(model)
        answers = answered(self._catalog, self._searcher, self.encoder(model), questions, how)
        if not all(answers) and not self._catalog.embeddings.count(model.id):
            raise LibraryEmpty(why_empty(self._catalog))
        return answers
