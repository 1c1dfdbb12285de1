"""The differences between a list of addresses and the catalog.

Whether what lies at an address has changed is known only by asking, so a picture that is known is
asked for with the version that it had. One that failed for good is asked for again if the list has
changed.
"""

import os
import time
from collections.abc import Iterator

from retrieval.catalog.queries.files import Known
from retrieval.errors import SourceUnavailable, UnreadablePicture
from retrieval.exclusions import is_excluded
from retrieval.indexing.changed_file import ChangedFile
from retrieval.indexing.elsewhere.members import Members, failure_of
from retrieval.records import NO_MTIME, Found
from retrieval.sources.address_list import AddressList, ListedAddress, ListOptions
from retrieval.wording import counted


class Addresses(Members):
    """The comparison of one list, as `Members` compares a shard."""

    def files(self) -> Iterator[ChangedFile]:
        known = self._known()
        self.is_new = not known
        if self._found is None:
            self._say_gone(known)
            return
        versions = self._catalog.containers.versions(self._root.id, self.container.path)
        how, name = ListOptions.read(self.container.options), os.fsdecode(self.container.path)
        try:
            with self._source.open(self.container.path) as file:
                held = AddressList(file, name, how)
                for row in held.rows():
                    yield from self._asked(row, known, versions)
        except (UnreadablePicture, SourceUnavailable, OSError) as error:
            failure = failure_of(error)
            self.is_read = failure.code.is_lasting
            broken = ChangedFile(self._root, self._found, False, None, failure=failure)
            yield from self._changed(broken, known.get(self.container.path))
        else:
            self.is_read = True
            self._say(held)
            self._vanish(known)

    def _asked(
        self, row: ListedAddress, known: dict[bytes, Known], versions: dict[bytes, str]
    ) -> Iterator[ChangedFile]:
        path = self.container.path + b"/" + row.url.encode("utf-8", "surrogatepass")
        if self._excluded and is_excluded(path, self._excluded):
            return
        self._seen += 1
        before, now = known.pop(path, None), time.time_ns()
        found = Found(path, 0, now, 0, 0)
        file = ChangedFile(
            self._root, found, False, None, container=self.container, facts=row.facts
        )
        if before is None:
            yield file
        elif self._is_settled(before):
            self._unchanged += 1
        else:
            version = None if self._again else versions.get(path)
            file = file._replace(known=True, image_id=before[5], is_alike=True, version=version)
            yield file._replace(renews_facts=self.container != self._before)

    def _is_settled(self, before: Known) -> bool:
        """Return whether a member failed for good, and nothing suggests to try again."""
        is_same = self.container == self._before and not self._again
        return before[5] is None and before[2] != NO_MTIME and is_same

    def _say(self, held: AddressList) -> None:
        if held.unusable:
            said = f"{counted(held.unusable, 'row')} without an address of the web"
            self.problems.append(f"{os.fsdecode(self._path)}: {said}, or with a password in it")
