"""The outbox of the catalog → the collection, page by page.

Each page is brought to what the catalog holds now, and dropped from the outbox once Milvus has it.
A run that is killed leaves the page there, so the next run takes it again.
"""

from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording import outbox, settings
from retrieval.records import ModelRecord
from retrieval.vectors.milvus import tuning
from retrieval.vectors.milvus.address import MilvusAddress
from retrieval.vectors.milvus.collection import MilvusCollection
from retrieval.vectors.milvus.entities import entities_of

KEY_SETTING = "vectors.key"  # random, of this library: part of the names of its collections
FILLED_SETTING = "vectors.filled"  # the collection that, with the outbox, holds everything
IMAGES = 2_000  # in a page: 4 MB of vectors


def fill(
    catalog: Catalog, model: ModelRecord, collection: MilvusCollection, is_new: bool = False
) -> None:
    """Bring a collection up to date. It is created anew if it is not the one that the outbox is
    for, or with `is_new`. Raises VectorsUnavailable.
    """
    is_new = is_new or not (is_followed(catalog, collection.name) and collection.exists())
    if is_new:
        start(catalog, collection)
    has_news = is_new
    while page := outbox.take(catalog, IMAGES):
        _bring(catalog, model, collection, page.images, is_new)
        outbox.drop(catalog, page.numbers)
        has_news = True
    if has_news:
        tuning.tune(catalog, model, collection)


def name_of(catalog: Catalog, model: ModelRecord, address: MilvusAddress) -> str:
    """Return the name of the collection of a model: no other library has one of this name."""
    key = catalog.holdings.setting(KEY_SETTING) or ""
    return f"{address.name}_{key[:8]}_{model.digest[:8]}"


def is_followed(catalog: Catalog, name: str) -> bool:
    """Return whether a collection, if it is still there, holds everything with the outbox."""
    is_filled = catalog.holdings.setting(FILLED_SETTING) == name
    return is_filled and outbox.is_watching(catalog)


def start(catalog: Catalog, collection: MilvusCollection) -> None:
    """Create a collection in place of the one before, and put every image into the outbox."""
    before = catalog.holdings.setting(FILLED_SETTING)
    settings.put(catalog, {FILLED_SETTING: None})
    collection.create()
    outbox.begin(catalog, {FILLED_SETTING: collection.name, tuning.EFFORT_SETTING: None})
    if before and before != collection.name:
        collection.drop(before)  # another model's


def _bring(
    catalog: Catalog,
    model: ModelRecord,
    collection: MilvusCollection,
    images: list[int],
    is_new: bool,
) -> None:
    """Bring some images in a collection to what the catalog holds of them."""
    held = catalog.holdings.of(model.id, images)
    rows = [row for each in held for row in entities_of(each, collection.number_type)]
    if not is_new:  # forgotten images, and moments that there are no more
        current = f" and id not in {[row['id'] for row in rows]}" if rows else ""
        collection.remove(f"image in {images}{current}")
    collection.put(rows)
