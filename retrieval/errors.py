"""Every error that `retrieval` raises on purpose: what, which value, and the remedy."""

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class RetrieveError(Exception):
    """The root of the tree. The command line prints its message in one line and exits with 1, or
    with 2 where the call itself was wrong (InvalidValue).
    """

    position: int | None = None  # of the character of a query at which it is, from 0


class LibraryNotFound(RetrieveError):
    """There is no library where one was asked for."""


class LibraryEmpty(RetrieveError):
    """The library holds no pictures that could be searched."""


class LibraryBusy(RetrieveError):
    """Another process is writing to the library."""


class LibraryReadOnly(RetrieveError):
    """The library's folder or disk cannot be written to, or is full."""


class LibraryTooNew(RetrieveError):
    """The catalog was written by a newer version of retrieve."""


class CatalogDamaged(RetrieveError):
    """SQLite cannot read the catalog."""


class TooManyOpenFiles(RetrieveError):
    """The system gives this process no more files. Nothing is wrong with those that it has."""


class ModelMismatch(RetrieveError):
    """The library holds embeddings of another model than the one asked for."""


class ModelUnavailable(RetrieveError):
    """The weights of a model are not here and cannot be fetched, or cannot be used."""


class PathNotFound(RetrieveError):
    """A folder or file that the user named does not exist, or is not known to the library."""


class PathTaken(RetrieveError):
    """A file that is to be written exists already."""


class UnreadablePicture(RetrieveError):
    """A file could not be decoded as a picture."""


class InvalidValue(RetrieveError):
    """An argument or option with a value that makes no sense. The command line exits with 2."""


class InvalidQuery(InvalidValue):
    """A query that cannot be answered: empty, of the wrong type or shape, with a bad option."""


LEADS_NOWHERE = "leads_nowhere"  # an attribute of a standard stream that was closed at the start


class OutputClosed(RetrieveError):
    """Standard output was closed before the program started, so that no answer can be written."""


class CannotServe(RetrieveError):
    """A server cannot listen where it was told to."""


class UnsafeServer(CannotServe, InvalidValue):
    """A server should not listen where, or with the token that, it was told to."""


# -- what the system says ------------------------------------------------------------------------

SPENT = "too many open files; raise `ulimit -n`"


def is_spent(error: BaseException) -> bool:
    """Whether there were no more files to be had. Not everybody passes the number on."""
    has_number = isinstance(error, OSError) and error.errno == errno.EMFILE
    return has_number or os.strerror(errno.EMFILE) in str(error)


def reason(error: OSError) -> str:
    """What the system says, with the remedy where there is one."""
    return SPENT if is_spent(error) else error.strerror or str(error)


def because(kind: type[RetrieveError], said: str, error: OSError) -> RetrieveError:
    """An error of this kind, with the reason; of another kind where it is about this process."""
    return (TooManyOpenFiles if is_spent(error) else kind)(f"{said}: {reason(error)}")


def explained(error: Exception) -> str:
    from clipmodel.errors import ClipModelError

    if isinstance(error, (RetrieveError, ClipModelError)):
        return str(error)
    if is_spent(error):  # also where a library or a module could not be opened
        return SPENT
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}"
    kind = type(error).__name__
    return f"unexpected {kind}: {error}; please report it with what --debug shows"
