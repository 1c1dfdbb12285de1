"""Facts about images from their metadata and sidecars, in `images`, `shots` and `texts`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

from sqlalchemy import Connection, bindparam, delete, func, select, update

from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording.upsert import insert, put_all, put_new
from retrieval.catalog.schema import (
    CompanionRow,
    EmbeddingRow,
    FileRow,
    ImageRow,
    ShotRow,
    TextRow,
)
from retrieval.decoding.limits import DECODING
from retrieval.records import Facts, Shot, TakenFrom, Wording

SAMPLE = "sample"  # the source of texts in containers
TRUST: dict[str, int] = {source: rank for rank, source in enumerate(get_args(TakenFrom))}


def describe(
    catalog: Catalog,
    shots: Mapping[int, Shot],
    facts: Mapping[int, Facts],
    hashes: Mapping[int, bytes],
    changed: Sequence[int],
) -> None:
    """Write what was read from images again, by id: EXIF, facts and difference hashes.

    The facts of an image that has them stay, since sidecars may have added to them. changed: images
    that an older version decoded otherwise; their vectors are dropped if they are of that version.
    """
    hashed = update(ImageRow).where(ImageRow.id == bindparam("image"))
    rows = [{"image": id, "hash": hash} for id, hash in hashes.items()]
    with catalog.transaction() as connection:
        for id in _without_facts(connection, facts):
            _put(connection, id, facts[id])
            if id in shots:
                connection.execute(delete(ShotRow).where(ShotRow.image_id == id))
            add_wordings(connection, {id: facts[id].wordings})
        insert_shots(connection, shots)
        if rows:
            connection.execute(hashed.values({"difference_hash": bindparam("hash")}), rows)
        _renew(connection, list(shots), changed)


def supplement(catalog: Catalog, read: Sequence[tuple[int, bytes, int, Facts | None]]) -> None:
    """Add the facts of sidecars to their images where these have none.

    read: root id and path of each sidecar, the id of its image, and its facts, if it has any.
    """
    with catalog.transaction() as connection:
        for root_id, path, image_id, facts in read:
            if facts:
                _supplement(connection, image_id, facts)
            this = (CompanionRow.root_id == root_id) & (CompanionRow.path == path)
            connection.execute(update(CompanionRow).where(this).values(image_id=image_id))


def renew(catalog: Catalog, said: Mapping[int, Sequence[Facts]]) -> None:
    """Replace the texts of images from beside them in containers, which have changed.

    said: the facts of each place of an image that was read again. If it has other places, its older
    texts stay: nobody knows which place they are from.
    """
    theirs = TextRow.image_id.in_(said) & (TextRow.source == SAMPLE)
    held = select(TextRow.id, TextRow.image_id, TextRow.kind, TextRow.text).where(theirs)
    places = select(FileRow.image_id, func.count()).where(FileRow.image_id.in_(said))
    now = {id: [each for facts in places for each in facts.wordings] for id, places in said.items()}
    told = {(id, each.kind, each.text) for id, wordings in now.items() for each in wordings}
    with catalog.transaction() as connection:
        rows = connection.execute(places.group_by(FileRow.image_id))
        counts = {row[0]: row[1] for row in rows}
        gone = [
            id
            for id, image, kind, text in connection.execute(held)
            if (image, kind, text) not in told and counts.get(image, 0) <= len(said[image])
        ]
        if gone:
            connection.execute(delete(TextRow).where(TextRow.id.in_(gone)))
        add_wordings(connection, now)


def unread(connection: Connection, images: Iterable[int]) -> None:
    """Have the metadata of images, and all of their sidecars, read again by this run."""
    for id in images:
        connection.execute(update(ImageRow).where(ImageRow.id == id).values(taken_from=None))
        connection.execute(delete(TextRow).where(TextRow.image_id == id))
        again = update(CompanionRow).where(CompanionRow.image_id == id)
        connection.execute(again.values(image_id=None))


def add_wordings(connection: Connection, of: Mapping[int, Sequence[Wording]]) -> None:
    """Add texts to images, by id, each text once."""
    held = select(TextRow.image_id, TextRow.kind, TextRow.text).where(TextRow.image_id.in_(of))
    known = {tuple(row) for row in connection.execute(held)} if of else set()
    rows = []
    for id, wordings in of.items():
        new = {(each.kind, each.text): each.source for each in reversed(wordings)}
        rows += [
            {"image_id": id, "moment": 0, "kind": kind, "source": source, "text": said}
            for (kind, said), source in reversed(new.items())
            if (id, kind, said) not in known
        ]
    if rows:
        put_all(connection, insert(connection, TextRow), rows)


def insert_shots(connection: Connection, shots: Mapping[int, Shot]) -> None:
    """Add the shots of images, by id, that have none."""
    rows = [{"image_id": id, **shot._asdict()} for id, shot in shots.items()]
    if rows:
        put_all(connection, put_new(connection.dialect.name, ShotRow), rows)


def _renew(connection: Connection, read: Sequence[int], changed: Sequence[int]) -> None:
    """Drop the vectors of what is decoded otherwise than before, and mark all as up to date."""
    old = ImageRow.decoding.is_(None) & (ImageRow.id == bindparam("image"))
    of_old = EmbeddingRow.image_id.in_(select(ImageRow.id).where(old))
    if changed:
        connection.execute(delete(EmbeddingRow).where(of_old), [{"image": id} for id in changed])
    if read:
        renewed = update(ImageRow).where(old).values(decoding=DECODING)
        connection.execute(renewed, [{"image": id} for id in read])


def _without_facts(connection: Connection, facts: Mapping[int, Facts]) -> list[int]:
    this = (ImageRow.id == bindparam("image")) & ImageRow.taken_from.is_(None)
    found = select(ImageRow.id).where(this)
    return [id for id in facts if connection.execute(found, {"image": id}).first()]


def _put(connection: Connection, id: int, facts: Facts) -> None:
    values = {
        "taken_at": facts.taken_at.isoformat() if facts.taken_at else None,
        "taken_from": facts.taken_from,
        "rating": facts.rating,
    }
    connection.execute(update(ImageRow).where(ImageRow.id == id).values(values))


def _supplement(connection: Connection, id: int, facts: Facts) -> None:
    held = select(ImageRow.taken_from, ImageRow.rating).where(ImageRow.id == id)
    taken_from, rating = connection.execute(held).one()
    values: dict[str, object] = {}
    if facts.taken_at and TRUST[facts.taken_from] < TRUST.get(taken_from or "file", len(TRUST)):
        values |= {"taken_at": facts.taken_at.isoformat(), "taken_from": facts.taken_from}
    if facts.rating and not rating:
        values["rating"] = facts.rating
    if values:
        connection.execute(update(ImageRow).where(ImageRow.id == id).values(values))
    if facts.latitude is not None:
        nowhere = (ShotRow.image_id == id) & ShotRow.latitude.is_(None)
        there = {"latitude": facts.latitude, "longitude": facts.longitude}
        connection.execute(update(ShotRow).where(nowhere).values(there))
    add_wordings(connection, {id: facts.wordings})
