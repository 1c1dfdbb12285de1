"""The store of a library's vectors: the file of this machine, or one that the catalog names."""

import uuid

from retrieval.catalog.reading import Catalog
from retrieval.records import ModelRecord
from retrieval.vectors.file_store import FileStore
from retrieval.vectors.milvus.address import parse
from retrieval.vectors.store import VectorStore

LOCAL = "local"
SETTING = "vectors"  # the address of the store; not set: the file


def open_store(catalog: Catalog, model: ModelRecord) -> VectorStore:
    """Open the store of a model's vectors."""
    if (stored := address_of(catalog)) is None:
        return FileStore(catalog, model)
    from retrieval.vectors.milvus.store import MilvusStore

    return MilvusStore(catalog, model, stored)


def address_of(catalog: Catalog) -> str | None:
    """Return the address of the store beside the catalog; None if there is only the file."""
    return catalog.holdings.setting(SETTING)


def check_store(given: str) -> None:
    """Raise InvalidValue unless this is "local" or the address of a store."""
    if given != LOCAL:
        parse(given, None)


def choose(catalog: Catalog, given: str) -> None:
    """Keep the vectors in the store at an address, or in the file ("local"), from now on.

    The next `refresh` fills it. The caller holds the library for writing. Raises InvalidValue,
    VectorsUnavailable.
    """
    from retrieval.catalog.recording import outbox, settings
    from retrieval.vectors.milvus import filling, tuning
    from retrieval.vectors.milvus.connection import connect, release

    if given == LOCAL:
        if address_of(catalog) is not None:
            names = (SETTING, filling.FILLED_SETTING, tuning.EFFORT_SETTING)
            outbox.end(catalog, dict.fromkeys(names))
        return
    address = parse(given, catalog.database.base)
    connect(address)
    release(address)
    if address.stored != address_of(catalog):
        key = catalog.holdings.setting(filling.KEY_SETTING) or uuid.uuid4().hex
        changed = {SETTING: address.stored, filling.KEY_SETTING: key}
        settings.put(catalog, {**changed, filling.FILLED_SETTING: None})
