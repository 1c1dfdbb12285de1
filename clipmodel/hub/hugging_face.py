"""Repositories on the Hugging Face hub: what they hold, and their files.

The package huggingface_hub knows the addresses, the token, the mirror (HF_ENDPOINT), the cache
(HF_HUB_CACHE) and whether to stay offline (HF_HUB_OFFLINE). The bytes come through download.py,
which resumes after a process was killed, and compares the sha256 that the hub publishes: the
package keeps no part of a file, and compares lengths alone.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clipmodel.errors import ClipModelError, DownloadError, ModelNotFound
from clipmodel.hub.download import CONNECT_SECONDS, download, reason_of

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # Git's sum of a small file, or the sha256
_ADDRESS = re.compile(r"https?://\S+")
_NUMBER = re.compile(r"\[Errno -?\d+\] ")


@dataclass(frozen=True)
class Repository:
    """A revision of a repository. licence: as its card names it."""

    name: str  # ORG/NAME
    commit: str
    files: frozenset[str]
    licence: str | None = None

    def fetch(self, file: str, into: Path, store: Path, *, progress: bool, label: str = "") -> Path:
        """Place a file below `into`, under its own name, and return its path.

        It comes from the hub's cache or, unless a former attempt left it there, into `store`.
        Raises DownloadError.
        """
        source = self._cached(file) or self._downloaded(file, store, progress, label)
        target = into / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # of another repository; never write through a link
        try:
            target.symlink_to(source.resolve())
        except OSError:  # Windows allows it to administrators alone
            shutil.copyfile(source, target)
        return target

    def _cached(self, file: str) -> Path | None:
        from huggingface_hub import constants, try_to_load_from_cache

        # Not the default, which is from when the package was imported.
        cache = constants.HF_HUB_CACHE
        found = try_to_load_from_cache(self.name, file, cache_dir=cache, revision=self.commit)
        return Path(found) if isinstance(found, str) else None

    def _downloaded(self, file: str, store: Path, progress: bool, label: str) -> Path:
        from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url

        url = hf_hub_url(self.name, file, revision=self.commit)
        try:
            found = get_hf_file_metadata(url)
        except Exception as error:
            raise _explained(error, f"{self.name}/{file}") from error
        tag = found.etag or ""
        # Any other might be a path, and tells no versions apart.
        is_tagged = _TAG.fullmatch(tag) is not None
        target = store / (tag if is_tagged else f"untagged-{file.replace('/', '-')}")
        if not is_tagged:
            target.with_name(f"{target.name}.part").unlink(missing_ok=True)
        elif target.is_file() and target.stat().st_size == found.size:
            return target  # its sum was right when it came
        is_of_hub = urlsplit(found.location).netloc == urlsplit(url).netloc
        token = get_token()
        download(
            found.location,
            tag if _SHA256.fullmatch(tag) else None,
            target,
            progress=progress,
            label=label or file,
            shown=f"{self.name}/{file}",
            size=found.size,
            token=f"Bearer {token}" if token and is_of_hub else None,  # for no other server
        )
        return target


def repository(name: str, revision: str | None = None) -> Repository:
    """Return what a repository holds: as the hub says, else as its cache does.

    name: ORG/NAME. Raises ModelNotFound and DownloadError.
    """
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        error: Exception | None = None
    else:
        try:
            info = HfApi().model_info(name, revision=revision, timeout=2 * CONNECT_SECONDS)
            files = frozenset(each.rfilename for each in info.siblings or ())
            return Repository(name, str(info.sha), files, _licence(info.card_data))
        except Exception as raised:
            error = raised
    if (found := _in_cache(name, revision)) is not None:
        return found
    if error is None:
        raise DownloadError(
            f"{name} is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids to download it"
        )
    raise _explained(error, f"{name}@{revision}" if revision else name) from error


def _in_cache(name: str, revision: str | None) -> Repository | None:
    """Return what the cache of the hub holds of a repository, if anything.

    The package's own look-up refuses snapshots that lack files, wanted or not.
    """
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
    named = folder / "refs" / (revision or constants.DEFAULT_REVISION)
    try:
        commit = named.read_text("utf-8").strip() if named.is_file() else revision
        snapshot = folder / "snapshots" / str(commit)
        files = [each.relative_to(snapshot) for each in snapshot.rglob("*") if each.is_file()]
    except (OSError, ValueError):
        return None
    if not commit or not files:
        return None
    held = frozenset(file.as_posix() for file in files)
    return Repository(name, commit, held, _of_card(snapshot / "README.md"))


def _licence(card: object) -> str | None:
    """Return the licence in a card's head; its own name where that is only `other`."""
    name = getattr(card, "license", None)
    own = getattr(card, "license_name", None)
    return own if own and name in (None, "other") else name


def _of_card(card: Path) -> str | None:
    from huggingface_hub import ModelCard

    try:
        return _licence(ModelCard.load(card).data) if card.is_file() else None
    except (OSError, ValueError):
        return None


def _explained(error: Exception, what: str) -> ClipModelError:
    """Return the error in a line."""
    from huggingface_hub import errors

    if isinstance(error, errors.HFValidationError):
        return ModelNotFound(f"{what!r} is not the name of a repository, ORG/NAME")
    if isinstance(error, errors.GatedRepoError):
        return DownloadError(
            f"{what} requires you to accept its terms: do so on its page on the Hugging Face hub, "
            "then set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelNotFound(f"the Hugging Face hub has no revision {what}")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, FileNotFoundError):
        return DownloadError(f"the Hugging Face hub has no file {what}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelNotFound(
            f"the Hugging Face hub has no repository {what}, or it is private: check the name, or "
            "set HF_TOKEN"
        )
    if isinstance(error, errors.HfHubHTTPError):
        code = error.response.status_code
        return DownloadError(f"the Hugging Face hub answers {code} for {what}; try again later")
    return DownloadError(f"cannot reach the Hugging Face hub: {_plain(error)}")


def _plain(error: BaseException) -> str:
    """Return the reason in one line, without addresses and the numbers of errors."""
    while error.__cause__ is not None and not isinstance(error.__cause__, ExceptionGroup):
        error = error.__cause__
    first = (reason_of(error).splitlines() or [""])[0]
    return _ADDRESS.sub("it", _NUMBER.sub("", first)).strip() or type(error).__name__
