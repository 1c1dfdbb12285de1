"""Changes to what is known of containers."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import bindparam, delete, func, update

from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording.upsert import insert
from retrieval.catalog.schema import ContainerRow
from retrieval.records import NO_MTIME
from retrieval.sources.container import Container

STATE = ("size", "mtime_ns", "ctime_ns")


def add(catalog: Catalog, containers: Sequence[Container]) -> None:
    """Add containers that a user named; those that are known stay as they are, but for options."""
    if containers:
        rows = [asdict(each) for each in containers]
        with catalog.transaction() as connection:
            added = insert(connection, ContainerRow)
            told = {"options": func.coalesce(added.excluded.options, ContainerRow.options)}
            known = added.on_conflict_do_update(index_elements=["root_id", "path"], set_=told)
            connection.execute(known, rows)


def put(catalog: Catalog, containers: Sequence[Container]) -> None:
    """Write the state in which containers were read to their end."""
    if containers:
        rows = [asdict(each) for each in containers]
        with catalog.transaction() as connection:
            added = insert(connection, ContainerRow)
            state = {name: added.excluded[name] for name in STATE}
            known = added.on_conflict_do_update(index_elements=["root_id", "path"], set_=state)
            connection.execute(known, rows)


def reset(catalog: Catalog, root_ids: Sequence[int]) -> None:
    """Have the containers of these roots listed again, as after a change of what is excluded."""
    unread = update(ContainerRow).where(ContainerRow.root_id.in_(root_ids))
    with catalog.transaction() as connection:
        connection.execute(unread.values(mtime_ns=NO_MTIME))


def remove(catalog: Catalog, containers: Sequence[Container]) -> None:
    """Drop containers that are gone. Their members are files, dropped as those are."""
    this = (ContainerRow.root_id == bindparam("root")) & (ContainerRow.path == bindparam("at"))
    if containers:
        rows = [{"root": each.root_id, "at": each.path} for each in containers]
        with catalog.transaction() as connection:
            connection.execute(delete(ContainerRow).where(this), rows)
