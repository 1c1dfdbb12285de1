"""The models of a library other than the current one: their size, and how to drop one."""

from dataclasses import dataclass

from retrieval.catalog.reading import Catalog
from retrieval.errors import ModelMismatch
from retrieval.models import choice
from retrieval.records import ModelRecord
from retrieval.vectors import index_file

FLOAT16 = 2  # bytes


@dataclass(frozen=True, slots=True)
class OtherModel:
    """A model whose embeddings stay beside those of the current one."""

    name: str
    embedded: int  # images
    bytes: int  # of their vectors
    keeps_up: bool  # new pictures are encoded by it as well


def others(catalog: Catalog) -> tuple[OtherModel, ...]:
    """Return the models that are not current, oldest first."""
    current = catalog.current_model()
    return tuple(_held(catalog, model) for model in catalog.models() if model != current)


def forget(catalog: Catalog, name: choice.Name) -> int:
    """Drop the embeddings of a model; return how many there were. Raises ModelMismatch,
    LibraryBusy, LibraryReadOnly.
    """
    with catalog.database.exclusive():
        model = _named(catalog, name)
        held = catalog.embeddings.count(model.id)
        from retrieval.catalog import writing

        index_file.outdate(catalog, model.digest)
        writing.drop_model(catalog, model)
    return held


def _named(catalog: Catalog, name: choice.Name) -> ModelRecord:
    """Return the model of this name, or with these weights, that is not current."""
    known, current = catalog.models(), catalog.current_model()
    found = [each for each in known if each.name == name]
    found = found or [each for each in known if choice.is_same(each, name)]
    if not found:
        held = ", ".join(each.name for each in known if each != current)
        kept = f"it keeps those of {held}" if held else "it keeps no other model's"
        raise ModelMismatch(f"the library has no embeddings of {name!r}; {kept}")
    idle = [each for each in found if each != current]
    if not idle:
        raise ModelMismatch(
            f"the library searches with {name!r}; switch to another model first: "
            "retrieve index --model NAME"
        )
    return idle[0]


def _held(catalog: Catalog, model: ModelRecord) -> OtherModel:
    embedded = catalog.embeddings.count(model.id)
    bytes = embedded * model.dim * FLOAT16
    return OtherModel(model.name, embedded, bytes, bool(model.keeps_up))
