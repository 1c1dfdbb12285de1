"""Captions of pictures, read from the formats in which data sets and people keep them."""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from retrieval.decoding.formats import is_named_as_picture
from retrieval.errors import InvalidQuery, InvalidValue, PathNotFound, UnreadablePicture, because
from retrieval.records import Facts
from retrieval.sources.patterns import expanded, is_pattern
from retrieval.sources.tar_shard import TarShard

PICTURE = (
    *("path", "picture", "image", "file_name", "filename", "filepath", "file", "image_path"),
    *("image_name", "img"),
)
TEXT = ("caption", "captions", "text", "title", "description", "comment", "raw")
TOKEN_LINE = re.compile(r"(?P<picture>[^\t]+)#\d+\t(?P<text>.*)")  # Flickr8k.token.txt
SPLIT = "test"  # of a file with splits, as published figures use


class Caption(NamedTuple):
    """A description of a picture, which is named as in the file: a path, or only a name."""

    picture: str
    text: str


@dataclass
class Splits:
    """The split that is wanted, and those that were seen on the way."""

    wanted: str
    seen: set[str] = field(default_factory=set)

    def takes(self, split: object) -> bool:
        """Return whether an entry of this split is wanted; one without a split always is."""
        if not isinstance(split, str):
            return True
        self.seen.add(split)
        return split == self.wanted


def read_captions(file: Path, split: str = SPLIT) -> list[Caption]:
    """Read the captions of a file, by its extension.

    - .csv, .tsv: columns for picture and caption, by name, or the first two; any usual separator
    - .txt, .token: lines `picture#0<tab>caption`, as of Flickr8k, or like .tsv
    - .jsonl, .json: objects with picture and caption (one or several); COCO's annotations; files
      with Karpathy's splits, of which `split` is read
    - .tar, also `shards/{000..099}.tar` or `shards/*.tar`: pictures with .txt (a caption a line) or
      .json members of the same key

    Raises PathNotFound, InvalidQuery (nothing there, or an unknown format), InvalidValue.
    """
    splits = Splits(split)
    try:
        found = [each for each in _reader(file)(file, splits) if each.text and each.picture]
    except FileNotFoundError as error:
        raise PathNotFound(f"no such file of captions: {error.filename or file}") from error
    except OSError as error:
        raise because(PathNotFound, f"{file} cannot be read", error) from error
    except UnicodeError as error:
        raise InvalidQuery(f"{file} is not a text file in UTF-8; save it as one") from error
    except (csv.Error, ValueError, RecursionError, UnreadablePicture) as error:
        raise InvalidQuery(f"{file} cannot be read as captions: {error}") from error
    if found:
        return found
    if splits.seen:
        others = ", ".join(sorted(splits.seen))
        raise InvalidQuery(
            f"{file} has no captions of the split {split!r}, but of {others}; choose with --split"
        )
    columns = "a picture and its caption, such as the columns path and caption"
    raise InvalidQuery(f"{file} holds no captions; each needs {columns}")


def _reader(file: Path) -> "Reader":
    if read := READERS.get(file.suffix.lower()):
        return read
    if file.is_dir():
        raise InvalidValue(f"{file} is a folder; give a file of captions, or '{file}/*.tar'")
    raise InvalidValue(
        f"{file}: captions are read from {', '.join(READERS)}, not from {file.suffix or 'this'}"
    )


# -- tables --------------------------------------------------------------------------------------


def _from_table(file: Path, splits: Splits) -> Iterator[Caption]:
    text = file.read_text("utf-8-sig")
    lines = text.splitlines()
    if lines and all(TOKEN_LINE.fullmatch(line) for line in lines if line.strip()):
        for line in lines:
            if found := TOKEN_LINE.fullmatch(line):
                yield Caption(found["picture"].strip(), found["text"].strip())
        return
    separator = _separator(lines)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    if rows:
        yield from _from_rows(rows, separator, splits)


def _from_rows(rows: list[list[str]], separator: str, splits: Splits) -> Iterator[Caption]:
    head = [name.strip().lower() for name in rows[0]]
    picture, caption = _column(head, PICTURE), _column(head, TEXT)
    if picture is None or caption is None:
        if len(head) != 2 and not is_named_as_picture(head[0] if head else ""):
            raise ValueError(
                f"its first line names no column for the picture ({', '.join(PICTURE)}) and the "
                f"caption ({', '.join(TEXT)})"
            )
        yield from (_of_row(row, 0, 1, separator, 2) for row in rows if len(row) > 1)
        return
    of_split = head.index("split") if "split" in head else None
    for row in rows[1:]:
        if len(row) > max(picture, caption) and splits.takes(
            row[of_split].strip() if of_split is not None and of_split < len(row) else None
        ):
            yield _of_row(row, picture, caption, separator, len(head))


def _of_row(row: list[str], picture: int, caption: int, separator: str, columns: int) -> Caption:
    """Return the caption of a row; one that was not quoted may hold separators, if it is last."""
    text = separator.join(row[caption:]) if caption == columns - 1 else row[caption]
    return Caption(row[picture].strip(), text.strip())


def _separator(lines: Sequence[str]) -> str:
    first = lines[0] if lines else ""
    return max("\t|;,", key=lambda sign: (first.count(sign) > 0, sign == "\t", first.count(sign)))


def _column(head: Sequence[str], names: Sequence[str]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


# -- JSON ----------------------------------------------------------------------------------------


def _from_lines(file: Path, splits: Splits) -> Iterator[Caption]:
    for number, line in enumerate(file.read_text("utf-8-sig").split("\n"), 1):
        if line.strip():
            try:
                held = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON ({error})") from error
            yield from _of_object(held, splits)


def _from_json(file: Path, splits: Splits) -> Iterator[Caption]:
    try:
        held = json.loads(file.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        yield from _from_lines(file, splits)  # an object a line, whatever its name
        return
    if isinstance(held, Mapping) and "annotations" in held:
        yield from _of_coco(_objects(held.get("images")), _objects(held["annotations"]))
        return
    for each in _objects(held.get("images") if isinstance(held, Mapping) else held):
        yield from _of_object(each, splits)


def _objects(held: object) -> Iterator[Mapping[str, Any]]:
    return (each for each in (held if isinstance(held, list) else ()) if isinstance(each, Mapping))


def _of_coco(
    images: Iterator[Mapping[str, Any]], annotations: Iterator[Mapping[str, Any]]
) -> Iterator[Caption]:
    names = {str(image.get("id")): image.get("file_name") for image in images}
    for note in annotations:
        name, text = names.get(str(note.get("image_id"))), note.get("caption")
        if isinstance(name, str) and isinstance(text, str):
            yield Caption(name, text.strip())


def _of_object(held: object, splits: Splits) -> Iterator[Caption]:
    """Yield the captions of one object; it may have several, or sentences as Karpathy's do."""
    if not isinstance(held, Mapping) or not splits.takes(held.get("split")):
        return
    picture = next((held[name] for name in PICTURE if isinstance(held.get(name), str)), None)
    if picture is None:
        return
    if isinstance(held.get("filename"), str) and isinstance(held.get("filepath"), str):
        picture = os.path.join(held["filepath"], held["filename"])  # COCO in Karpathy's split
    said = held.get("sentences") or next((held[name] for name in TEXT if held.get(name)), ())
    for each in said if isinstance(said, list) else [said]:
        text = each.get("raw") if isinstance(each, Mapping) else each
        if isinstance(text, str):
            yield Caption(picture, text.strip())


# -- shards --------------------------------------------------------------------------------------


def _from_tars(file: Path, splits: Splits) -> Iterator[Caption]:
    name = os.fspath(file)
    shards = expanded(name) if is_pattern(name) else [name]
    if not shards:
        raise PathNotFound(f"no shard matches {file}")
    for shard in map(Path, shards):
        with shard.open("rb") as opened:
            for member in TarShard(opened, shard.stat().st_size).members():
                for text in _texts(member.facts):
                    yield Caption(f"{shard.name}/{os.fsdecode(member.name)}", text)


def _texts(facts: Facts | None) -> list[str]:
    """Return the captions of a member, or else its titles; a text may have one on each line."""
    said = [(each.kind, each.text) for each in facts.wordings] if facts else []
    texts = [text for kind, text in said if kind == "caption"]
    texts = texts or [text for kind, text in said if kind == "title"]
    return list(dict.fromkeys(line.strip() for text in texts for line in text.splitlines()))


Reader = Callable[[Path, Splits], Iterator[Caption]]
READERS: dict[str, Reader] = {
    ".csv": _from_table,
    ".tsv": _from_table,
    ".txt": _from_table,
    ".token": _from_table,
    ".jsonl": _from_lines,
    ".json": _from_json,
    ".tar": _from_tars,
}
