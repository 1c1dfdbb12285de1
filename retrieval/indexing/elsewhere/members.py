"""The differences between the members of a container and the catalog.

A container whose size and times are unchanged costs one stat. One that has changed is listed again,
and its members are read, since writers of archives set whatever times they like.
"""

import os
from collections.abc import Iterator

from retrieval.address import RemotePath
from retrieval.catalog.queries.files import Known
from retrieval.catalog.reading import Catalog
from retrieval.decoding.kinds.names import Kind
from retrieval.errors import FailureCode, SourceUnavailable, UnreadablePicture, reason
from retrieval.exclusions import is_excluded
from retrieval.indexing.changed_file import ChangedFile, Vanished
from retrieval.indexing.companions.ledger import Ledger
from retrieval.indexing.elsewhere.shard_table import ShardTable, table_beside
from retrieval.indexing.scan import hides
from retrieval.records import Failure, Found, Root
from retrieval.sources.container import Container, version_of
from retrieval.sources.opening import source_of
from retrieval.sources.tar_shard import Member, TarShard
from retrieval.wording import counted


class Members:
    """The comparison of one container. Iterate over `files` to the end; then the rest is complete.

    `files` yields the new and changed members and, if the container cannot be read to its end, the
    container itself as a failure; what could be read counts, and known members behind it stay.
    """

    def __init__(self, catalog: Catalog, root: Root, container: Container, again: bool) -> None:
        """again: read every member, even if nothing has changed."""
        self.ledger = Ledger()
        self._seen = 0  # members, so far
        self._unchanged = 0
        self._counted = (0, 0)  # of these, by `take_counts`
        self.vanished: list[Vanished] = []
        self.problems: list[str] = []
        self.is_gone = False
        self.is_new = False  # nothing was known of it
        self.is_read = False  # to its end; or it is damaged for good
        self._catalog = catalog
        self._root = root
        self._again = again
        self._path = os.path.join(os.fsencode(root.path), container.path)
        self._source = source_of(root)
        self._found = self._source.look_at(container.path)
        self.container = container if self._found is None else container.now(self._found)
        self._before = container
        self._excluded = root.exclusions.excluded() if root.exclusions else None

    def files(self) -> Iterator[ChangedFile]:
        known_files, due = self._catalog.files.count_due(self._root.id, self._before.path)
        self.is_new = known_files == 0
        if self._found is None:
            self._say_gone(self._known())
        elif self.container == self._before and not due and not self._again:
            self._seen = self._unchanged = known_files
            self.ledger.is_unchanged = True
        else:
            yield from self._listed(self._found, self._known())

    def take_counts(self) -> tuple[int, int]:
        """Return how many members were seen, and were unchanged, since the last call."""
        (seen, unchanged), now = self._counted, (self._seen, self._unchanged)
        self._counted = now
        return now[0] - seen, now[1] - unchanged

    def is_recorded(self) -> bool:
        """Return whether all members, none of which was known, are in the catalog by now."""
        count = self._catalog.files.count_due(self._root.id, self.container.path)[0]
        return self.is_new and self.is_read and count == self._seen

    def _known(self) -> dict[bytes, Known]:
        held = self._catalog.files.within(self._root.id, self._before.path)
        return {row[0]: row for row in held}

    def _listed(self, container: Found, known: dict[bytes, Known]) -> Iterator[ChangedFile]:
        try:
            table = table_beside(self._source, container.path)
            with self._source.open(container.path) as file:
                is_remote = isinstance(self._root.path, RemotePath)
                size = container.size or file.seek(0, os.SEEK_END)  # some servers state none
                file.seek(0)
                shard = TarShard(file, size, keeps=is_remote, table=table.rows)
                for member in shard.members():
                    yield from self._compared(container, member, known)
        except (UnreadablePicture, SourceUnavailable, OSError) as error:
            failure = failure_of(error)
            self.is_read = failure.code.is_lasting
            broken = ChangedFile(self._root, container, False, None, failure=failure)
            yield from self._changed(broken, known.get(container.path))
        else:
            self.is_read = True
            self._account(shard, table)
            self._vanish(known)

    def _compared(
        self, container: Found, member: Member, known: dict[bytes, Known]
    ) -> Iterator[ChangedFile]:
        path = self.container.path + b"/" + member.name
        if hides(member.name):
            self.ledger.leave_out(self.container.path + b"/", Kind.HIDDEN)
            return
        if self._excluded and is_excluded(path, self._excluded):
            self.ledger.leave_out(self.container.path + b"/", Kind.EXCLUDED)
            return
        offset, size = member.part
        mtime_ns = member.mtime_ns or container.mtime_ns
        found = Found(path, size, mtime_ns, version_of(container), offset)
        before = known.pop(path, None)
        file = ChangedFile(
            *(self._root, found, False, None, False, self.container),
            *(member.facts, member.failure, member.data),
        )
        yield from self._changed(file, before)

    def _changed(self, file: ChangedFile, before: Known | None) -> Iterator[ChangedFile]:
        """Yield a file unless the catalog knows it as it is."""
        self._seen += 1
        if before is None:
            yield file
        elif before[:5] == file.found and not self._again:
            self._unchanged += 1
        else:
            is_alike = before[1:3] == file.found[1:3]
            known = file._replace(known=True, image_id=before[5], is_alike=is_alike)
            yield known._replace(renews_facts=file.container is not None)

    def _say_gone(self, known: dict[bytes, Known]) -> None:
        self.is_gone = True
        self._vanish(known)
        if not known:
            self.problems.append(f"{os.fsdecode(self._path)}: no such file")

    def _vanish(self, known: dict[bytes, Known]) -> None:
        for path, *_, image_id in known.values():
            self.vanished.append(Vanished(self._root, path, image_id))

    def _account(self, shard: TarShard, table: ShardTable) -> None:
        for (kind, extension), count in shard.left_out.items():
            self.ledger.leave_out(self.container.path + b"/", kind, extension, count)
        if table.failed:
            self.ledger.leave_out(self.container.path + b"/", Kind.NOT_FETCHED, count=table.failed)
        if table.problem:
            self.problems.append(table.problem)
        if shard.unsafe:
            said = counted(shard.unsafe, "member")
            self.problems.append(
                f"{os.fsdecode(self._path)}: left out {said} whose name leads out of it or occurs "
                "twice"
            )
        if shard.apart:
            said = counted(shard.apart, "description")
            self.problems.append(
                f"{os.fsdecode(self._path)}: {said} not beside the picture of the same key; pack "
                "it with `tar --sort=name`"
            )


def failure_of(error: UnreadablePicture | SourceUnavailable | OSError) -> Failure:
    if isinstance(error, UnreadablePicture):
        return Failure.of(error)
    said = reason(error) if isinstance(error, OSError) else str(error)
    return Failure(FailureCode.UNREADABLE, f"it cannot be read: {said}")


def close_containers(catalog: Catalog, listed: list[Members], *, is_end: bool = False) -> None:
    """Record the state of containers whose members are all in the catalog, so that a run that is
    cut off does not list them again. is_end: all of the run is recorded.
    """
    done = [each for each in listed if is_end or each.is_recorded()]
    listed[:] = [each for each in listed if each not in done]
    read = [each.container for each in done if each.is_read]
    gone = [each.container for each in done if each.is_gone]
    if read or gone:
        from retrieval.catalog.recording import containers  # SQLAlchemy

        containers.put(catalog, read)
        containers.remove(catalog, gone)
