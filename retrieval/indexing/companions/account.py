"""The account of a run: what its scan found beside pictures, compared with the catalog."""

from collections.abc import Sequence

from retrieval.catalog.queries.other_files import FolderCount
from retrieval.catalog.reading import Catalog
from retrieval.exclusions import is_within
from retrieval.indexing.changes import Changes
from retrieval.indexing.companions.ledger import Ledger
from retrieval.indexing.targets import Target
from retrieval.records import Companion


def account(catalog: Catalog, changes: Changes) -> None:
    """Record new, changed and vanished companions, and the counts of what is left out.

    What is known of folders that could not be read stays.
    """
    for target, ledger in changes.ledgers.items():
        if ledger.is_unchanged:
            continue
        if ledger.is_of_folders:
            _of_folders(catalog, target, ledger, changes.unlisted.get(target, ()))
        else:
            _of_files(catalog, target, ledger)


def _of_folders(
    catalog: Catalog, target: Target, ledger: Ledger, unlisted: Sequence[bytes]
) -> None:
    root_id, inside = target.root.id, target.inside
    known = catalog.other_files.companions(root_id, inside)
    counts = catalog.other_files.left_out(root_id, inside)
    containers = catalog.containers.within(root_id, inside)
    apart = [each.path for each in containers if each.path != inside]  # they have ledgers
    counts = {at: n for at, n in counts.items() if not _is_in_any(at[0][:-1], apart)}
    if unlisted:
        known = [each for each in known if not _is_in_any(each.path, unlisted)]
        counts = {at: n for at, n in counts.items() if not _is_in_any(at[0][:-1], unlisted)}
    _record(catalog, target, ledger, known, counts)


def _of_files(catalog: Catalog, target: Target, ledger: Ledger) -> None:
    """Compare the companions of single files; what else is beside them does not matter."""
    folder = target.inside.rpartition(b"/")[0]
    known = catalog.other_files.companions(target.root.id, folder)
    mine = [each for each in known if not target.inside or each.main == target.inside]
    _record(catalog, target, ledger, mine, {})


def _record(
    catalog: Catalog,
    target: Target,
    ledger: Ledger,
    known: Sequence[Companion],
    counts: dict[FolderCount, int],
) -> None:
    before = {each.path: each for each in known}
    new = [each for each in ledger.companions.values() if before.get(each.path) != each]
    gone = [path for path in before if path not in ledger.companions]
    more = {at: n for at, n in ledger.left_out.items() if counts.get(at) != n}
    zero = [at for at in counts if at not in ledger.left_out]
    if new or gone or more or zero:
        # It brings SQLAlchemy, which is not needed if nothing changed.
        from retrieval.catalog.recording import other_files

        differences = other_files.Differences(target.root.id, gone, new, zero, more)
        other_files.record(catalog, differences)


def _is_in_any(path: bytes, folders: Sequence[bytes]) -> bool:
    return any(is_within(path, folder) for folder in folders)
