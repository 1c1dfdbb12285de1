"""The errors that `retrieval` raises. A message says what is wrong, which value, and what to do."""

import errno
import os
from enum import StrEnum


class RetrieveError(Exception):
    """The root of the tree. The command line prints its message on one line and exits with 1, or
    with 2 if the call itself was wrong (InvalidValue).
    """

    position: int | None = None  # of the offending character in a query, from 0


class LibraryNotFound(RetrieveError):
    """There is no library at that place."""


class LibraryEmpty(RetrieveError):
    """The library holds no pictures to search."""


class LibraryBusy(RetrieveError):
    """The library is being written to by another process."""


class LibraryReadOnly(RetrieveError):
    """The library's folder or disk cannot be written to, or is full."""


class LibraryTooNew(RetrieveError):
    """The catalog was written by a newer version of retrieve."""


class CatalogDamaged(RetrieveError):
    """SQLite cannot read the catalog."""


class VectorsUnavailable(RetrieveError):
    """The vector store beside the catalog cannot be used now."""


class LibraryUnreachable(RetrieveError):
    """The server of the library's database cannot be reached, or refuses this user."""


class NotInstalled(RetrieveError):
    """Something optional is needed that is not installed; the message says how to install it."""


class TooManyOpenFiles(RetrieveError):
    """This process has reached its limit of open files. Nothing is wrong with the files."""


class ModelMismatch(RetrieveError):
    """The library holds embeddings of another model than the one asked for."""


class ModelUnavailable(RetrieveError):
    """The weights of a model are missing and cannot be downloaded, or cannot be used."""


class PathNotFound(RetrieveError):
    """A named folder or file does not exist, or is not in the library."""


class SourceUnavailable(RetrieveError):
    """A place with pictures cannot be asked: no network, no permission, or nothing to read it."""


class PathTaken(RetrieveError):
    """The file to write already exists."""


class ClusterUnavailable(RetrieveError):
    """A Ray cluster cannot be reached or used."""


class FailureCode(StrEnum):
    """The reason why a file holds no picture, for programs; people read the message beside it.

    Catalogs and JSON contain the values, so they must never be renamed.
    """

    EMPTY = "empty"
    NOT_A_FILE = "not_a_file"  # a folder, a pipe or a device
    NOT_A_PICTURE = "not_a_picture"  # in no supported format
    DAMAGED = "damaged"  # in a supported format, but it cannot be decoded
    TOO_LARGE = "too_large"  # more pixels than allowed
    TOO_MANY_BYTES = "too_many_bytes"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"  # its decoder ended the worker process
    NOT_FOUND = "not_found"  # nothing is at its address
    REFUSED = "refused"  # its host does not want it to be fetched, or it may not be asked
    UNREADABLE = "unreadable"  # the disk, the network or a permission failed

    @classmethod
    def _missing_(cls, value: object) -> "FailureCode":
        """Treat values of newer versions or damaged catalogs as DAMAGED."""
        return cls.DAMAGED

    @property
    def is_lasting(self) -> bool:
        """True if the reason lies in the file's bytes, so that another try is pointless until they
        change. A decoder that crashed or hung does so again.
        """
        return self is not FailureCode.UNREADABLE


class UnreadablePicture(RetrieveError):
    """A file could not be decoded as a picture."""

    def __init__(
        self, said: str, code: FailureCode = FailureCode.DAMAGED, limit: int | None = None
    ) -> None:
        """limit: the number of pixels allowed, if the picture has more."""
        super().__init__(said)
        self.code = code
        self.limit = limit


class InvalidValue(RetrieveError):
    """An argument or option has an invalid value. The command line exits with 2."""


class UnknownOption(InvalidValue, TypeError):
    """A method of `Library` has no option of this name."""


class InvalidQuery(InvalidValue):
    """A query cannot be answered: it is empty, malformed, or has an invalid option."""


LEADS_NOWHERE = "leads_nowhere"  # attribute of a standard stream that was closed from the start


class OutputClosed(RetrieveError):
    """Standard output was closed from the start, so no result can be written."""


class CannotServe(RetrieveError):
    """A server cannot, or should not, listen at the given address."""


class UnsafeServer(CannotServe, InvalidValue):
    """A server should not listen at the given address, or with the given token."""


# -- the system's own errors ---------------------------------------------------------------------

SPENT = "too many open files; raise `ulimit -n`"


def is_spent(error: BaseException) -> bool:
    """Return whether an error means too many open files. Some libraries hide the number."""
    has_number = isinstance(error, OSError) and error.errno == errno.EMFILE
    return has_number or os.strerror(errno.EMFILE) in str(error)


def reason(error: OSError) -> str:
    """Return the system's message, with a remedy if there is one."""
    return SPENT if is_spent(error) else error.strerror or str(error)


def because(kind: type[RetrieveError], said: str, error: OSError) -> RetrieveError:
    """Return an error of this kind with the reason added; TooManyOpenFiles if that is the cause."""
    return (TooManyOpenFiles if is_spent(error) else kind)(f"{said}: {reason(error)}")


def explained(error: Exception) -> str:
    """Return the one line that a user is shown for any error."""
    from clipmodel.errors import ClipModelError

    if isinstance(error, (RetrieveError, ClipModelError)):
        return str(error)
    if is_spent(error):  # also where a library or a module could not be opened
        return SPENT
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    kind = type(error).__name__
    return f"unexpected {kind}: {error}; please report it with the output of --debug"
