"""Targets: the paths that the user named, as parts of roots.

A folder becomes a root unless it lies in one; then only that part of the root is scanned. A root
absorbs the roots below it. A file outside all roots makes its folder a root that is not `entire`:
only the named files of that root are indexed, now and later. So it is with a tar shard, whose
members count as the files of a folder with its name.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retrieval.address import WEB, RemotePath, has_user, is_address, scheme_of
from retrieval.catalog.reading import Catalog
from retrieval.errors import InvalidValue, PathNotFound
from retrieval.exclusions import Exclusions
from retrieval.paths import StrPath, given, relative, several_given, spellings
from retrieval.records import Root
from retrieval.sources.address_list import ListOptions
from retrieval.sources.container import Container, is_compressed_tar, kind_of
from retrieval.sources.opening import source_at
from retrieval.sources.options import give, of_root, parsed
from retrieval.sources.patterns import expanded, is_pattern
from retrieval.sources.source import Elsewhere
from retrieval.spelling import respelled


@dataclass(frozen=True, slots=True)
class Target:
    """A root, or its part at `inside` (b"" for all of it), which may be a container."""

    root: Root
    inside: bytes
    container: Container | None = None

    @property
    def path(self) -> Path:
        return self.root.path / os.fsdecode(self.inside)


def named(
    catalog: Catalog | None,
    paths: StrPath | Iterable[StrPath],
    storage: Iterable[str] = (),
    web: Iterable[str] = (),
) -> list[Path]:
    """Return the paths that the user named. Each exists, or the catalog knows files at it.

    catalog: None if there is none yet. storage: options for the addresses, as NAME=VALUE. web:
    further ones for those of http and https. Raises PathNotFound, also if no path is named and the
    catalog has no roots; SourceUnavailable.
    """
    for path in several_given(paths):
        address = os.fspath(path)
        if has_user(address) and (scheme_of(address) in WEB or ":" in address.split("@")[0][8:]):
            raise InvalidValue(
                "addresses are remembered and shown: leave out the user and the password, and give "
                "--storage-option where the storage takes them"
            )
        give(address, parsed([*storage, *web] if scheme_of(address) in WEB else storage))
    found = _spelled_out(catalog, paths)
    for path in found:
        if is_compressed_tar(os.fsencode(path.name)):
            raise InvalidValue(f"{path} is compressed, so its members have no offsets; unpack it")
        if not _exists(catalog, path) and not (catalog and _is_known(catalog, path)):
            raise PathNotFound(f"no such file or folder: {path}")
    if not found and not (catalog and catalog.roots()):
        raise PathNotFound("nothing to index yet; name a folder of pictures")
    return found


def _spelled_out(catalog: Catalog | None, paths: StrPath | Iterable[StrPath]) -> list[Path]:
    """Return the paths with patterns spelled out. A name of a range that does not exist is left
    out with a warning, as shards may be missing; if none exists, the first one stays.
    """
    found = list[Path]()
    for path in several_given(paths):
        if not is_pattern(os.fspath(path)):
            found.append(path)
            continue
        names = _names(catalog, path)
        if isinstance(path, RemotePath):
            found += names or [path]  # the run tells which of them are missing
            continue
        there = [e for e in names if os.path.exists(e) or (catalog and _is_known(catalog, e))]
        found += there or names[:1] or [path]
        if there and len(there) < len(names):
            first = next(each for each in names if each not in set(there))
            logging.getLogger("retrieval").warning(
                f"{len(names) - len(there):,} of the {len(names):,} files of {path} do not exist "
                f"(the first: {first})"
            )
    return found


def _names(catalog: Catalog | None, pattern: Path) -> list[Path]:
    """Return the paths that a pattern stands for."""
    found = list[Path]()
    for each in expanded(os.fspath(pattern)):
        path = given(each)
        is_glob = isinstance(path, RemotePath) and "*" in each
        found += map(given, _remote(catalog, path).matching(each)) if is_glob else [path]
    return found


def _exists(catalog: Catalog | None, path: Path) -> bool:
    if isinstance(path, RemotePath):
        is_held = kind_of(os.fsencode(path.name)) is not None
        return is_held or _remote(catalog, path).kind(b"") is not None
    return os.path.exists(path)


def _remote(catalog: Catalog | None, path: Path) -> Elsewhere:
    """Return the source at an address, reached as the root around it, if there is one."""
    roots = catalog.places.around(path) if catalog else []
    how = roots[0].options if roots else of_root(os.fspath(path), ())
    return source_at(os.fspath(path), how)


def _is_known(catalog: Catalog, path: Path) -> bool:
    is_above_roots = any(
        relative(each, root.path) is not None
        for each in spellings(path)
        for root in catalog.places.around(each)
    )
    return is_above_roots or any(catalog.files.has_any(*place) for place in catalog.places.of(path))


def resolve(catalog: Catalog, paths: Sequence[Path], exclude: Sequence[str] = ()) -> list[Target]:
    """Return the targets for `paths`, or for all roots if there are none.

    Makes roots as needed, and remembers the exclusions of the targets; an excluded path that is
    named is included again. Raises PathNotFound for a path that neither exists nor is known.
    """
    for path in paths:
        _place(catalog, path)
    _add_containers(catalog, paths)
    targets = _all_targets(catalog, paths)
    if changed := _exclusions(targets, exclude, is_named=bool(paths)):
        from retrieval.catalog import roots
        from retrieval.catalog.recording import containers

        roots.exclude(catalog, changed)
        containers.reset(catalog, list(changed))
        targets = _all_targets(catalog, paths)
    outermost = sorted(_outermost(targets), key=lambda target: target.path)
    return list(_with_containers(catalog, outermost))


def follow_links(catalog: Catalog) -> list[str]:
    """Move roots that have been replaced by a link, as after `mv old new; ln -s new old`.

    The link leads to the same files, so they are known at its target from now on. Returns a note
    for each of these roots.
    """
    said = []
    for path in [root.path for root in catalog.roots() if not is_address(str(root.path))]:
        place = Path(os.path.realpath(path))
        if place != path and place.is_dir():
            from retrieval.catalog import roots

            files = roots.follow(catalog, path, place)
            said.append(f"{path} is now a link to {place}; its {files:,} known files moved along")
    return said


def _all_targets(catalog: Catalog, paths: Sequence[Path]) -> set[Target]:
    if not paths:
        return {Target(root, b"") for root in catalog.roots()}
    return {target for path in paths for target in _targets(catalog, path)}


def _exclusions(
    targets: set[Target], exclude: Sequence[str], is_named: bool
) -> dict[int, Exclusions]:
    """Return the exclusions that change, by the id of their root."""
    before = {target.root.id: target.root.exclusions for target in targets}
    after = dict(before)
    for root, inside in sorted((t.root.id, t.inside) for t in targets if is_named):
        after[root] = after[root].with_named(inside)
    for target in targets:
        held = after[target.root.id]
        is_folder = target.path.is_dir() or isinstance(target.path, RemotePath)
        if exclude and target.root.entire and (is_folder or is_shard(target)):
            after[target.root.id] = held.with_globs(exclude, target.inside)
        elif exclude and is_shard(target):
            after[target.root.id] = held.with_globs(exclude, b"")
    return {root: held for root, held in after.items() if held != before[root]}


def is_shard(target: Target) -> bool:
    """Return whether a target that the user named is a shard or a list."""
    return kind_of(target.inside) is not None and not target.path.is_dir()


def _place(catalog: Catalog, path: Path) -> None:
    """Make a root for `path` if no root holds it."""
    roots = catalog.roots()
    place: Path
    if isinstance(path, RemotePath):
        is_held = kind_of(os.fsencode(path.name)) is not None
        is_file = is_held or _remote(catalog, path).kind(b"") == "file"
        place, entire = (path.parent, False) if is_file else (path, True)
    elif os.path.isdir(path):
        place, entire = _real(roots, path), True
    elif os.path.isfile(path):
        place, entire = _real(roots, path.parent), False
    elif os.path.lexists(path):
        raise PathNotFound(f"{path} is neither a folder nor a regular file")
    else:
        return
    held = any(root.entire and place.is_relative_to(root.path) for root in roots)
    if not held:
        from retrieval.catalog.roots import place_root  # SQLAlchemy, not needed for a rescan

        place_root(catalog, place, entire)
    if isinstance(path, RemotePath) and of_root(os.fspath(path), ()):
        from retrieval.catalog.roots import remember

        for root in catalog.places.around(path)[:1]:
            remember(catalog, root, root.options)


def add_lists(catalog: Catalog, paths: Sequence[Path], told: Mapping[str, object]) -> None:
    """Add the lists of addresses among the files that the user named, with what was told of them:
    fields of `ListOptions`. What was told before stays.
    """
    lists = [path for path in paths if kind_of(os.fsencode(path.name)) == "list"]
    for path in lists:
        _place(catalog, path)
    _add_containers(catalog, lists, told)


def _add_containers(
    catalog: Catalog, paths: Sequence[Path], told: Mapping[str, object] | None = None
) -> None:
    """Add the tar shards and lists among the files that the user named."""
    named = [path for path in paths if kind_of(os.fsencode(path.name))]
    held = [path for path in named if isinstance(path, RemotePath) or path.is_file()]
    if held:
        from retrieval.catalog.recording import containers

        targets = {target for path in held for target in _targets(catalog, path)}
        containers.add(catalog, [_container(catalog, target, told) for target in targets])


def _container(catalog: Catalog, target: Target, told: Mapping[str, object] | None) -> Container:
    kind = kind_of(target.inside)
    assert kind is not None
    container = Container(target.root.id, target.inside, kind)
    if not told:
        return container
    before = [each.options for each in catalog.containers.within(target.root.id, target.inside)]
    how = replace(ListOptions.read(before[0] if before else None), **told)  # type: ignore[arg-type]
    return replace(container, options=how.stored())


def _with_containers(catalog: Catalog, targets: Iterable[Target]) -> Iterator[Target]:
    """Yield the targets, and the containers in them as targets of their own."""
    for target in targets:
        held = catalog.containers.within(target.root.id, target.inside)
        if not any(each.path == target.inside for each in held):
            yield target
        yield from (Target(target.root, each.path, each) for each in held)


def _targets(catalog: Catalog, path: Path) -> list[Target]:
    """Return the target at which `path` is, or was if it is missing; else the roots below it."""
    exists = isinstance(path, RemotePath) or os.path.exists(path)
    spelled = [_real(catalog.roots(), path)] if os.path.isdir(path) else spellings(path)
    for spelling in spelled:
        found = [
            Target(root, known)
            for root in catalog.places.around(spelling)
            if (inside := relative(root.path, spelling)) is not None
            for known in ([inside] if exists else catalog.places.known_as(root.id, inside))
            if not inside or exists or catalog.files.has_any(root.id, known)
        ]
        if found:
            return found[:1]
    below = [
        Target(root, b"")
        for root in catalog.places.around(spelled[0])
        if relative(spelled[0], root.path) is not None
    ]
    if not below:
        raise PathNotFound(f"no such file or folder: {path}")
    return below


def _real(roots: Sequence[Root], path: Path) -> Path:
    """Resolve the links of a path.

    On a file system that ignores case, spell the path like the root that contains it.
    """
    if isinstance(path, RemotePath):
        return path
    real = Path(os.path.realpath(path))
    for root in roots:
        real = respelled(real, root.path)
    return real


def _outermost(targets: set[Target]) -> list[Target]:
    """Return the targets that lie in no other one."""
    places = {(target.root.id, target.inside) for target in targets}
    return [
        target
        for target in targets
        if not any((target.root.id, above) in places for above in _above(target.inside))
    ]


def _above(inside: bytes) -> Iterator[bytes]:
    """Yield the folders above a path relative to its root, the root's own b"" last."""
    while inside:
        inside = inside.rpartition(b"/")[0]
        yield inside
