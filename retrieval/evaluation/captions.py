"""Captions of pictures, read from the formats in which data sets and people keep them."""

import csv
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from retrieval.errors import InvalidQuery, InvalidValue, PathNotFound, because

PICTURE = ("path", "picture", "image", "file_name", "filename", "filepath", "file", "image_path")
TEXT = ("caption", "captions", "text", "title", "description", "comment", "raw")
TOKEN_LINE = re.compile(r"(?P<picture>[^\t]+)#\d+\t(?P<text>.*)")  # Flickr8k.token.txt
SHARDS = re.compile(r"(?P<head>.*)\{(?P<first>\d+)\.\.(?P<last>\d+)\}(?P<tail>.*)", re.DOTALL)
MAX_SHARDS = 100_000
MAX_MEMBER = 1 << 20  # bytes of a caption in a tar
SPLIT = "test"  # of a file with splits, as published figures use


class Caption(NamedTuple):
    """A description of a picture, which is named as in the file: a path, or only a name."""

    picture: str
    text: str


def read_captions(file: Path, split: str = SPLIT) -> list[Caption]:
    """Read the captions of a file, by its extension.

    - .csv, .tsv: columns for picture and caption, by name, or the first two; any usual separator
    - .txt: lines `picture#0<tab>caption`, as of Flickr8k, or like .tsv
    - .jsonl, .json: objects with picture and caption (one or several); COCO's annotations; files
      with Karpathy's splits, of which `split` is read
    - .tar, also `shards/{000..099}.tar`: pictures with .txt or .json members of the same key

    Raises PathNotFound, InvalidQuery (nothing there, or an unknown format).
    """
    read = READERS.get(file.suffix.lower())
    if read is None:
        raise InvalidValue(
            f"{file}: captions are read from {', '.join(READERS)}, not from {file.suffix or 'this'}"
        )
    try:
        found = [caption for caption in read(file, split) if caption.text and caption.picture]
    except FileNotFoundError as error:
        raise PathNotFound(f"no such file of captions: {error.filename or file}") from error
    except OSError as error:
        raise because(PathNotFound, f"{file} cannot be read", error) from error
    except (UnicodeError, csv.Error, tarfile.TarError, ValueError, RecursionError) as error:
        raise InvalidQuery(f"{file} cannot be read as captions: {error}") from error
    if not found:
        columns = "a picture and its caption, such as the columns path and caption"
        raise InvalidQuery(f"{file} holds no captions; each needs {columns}")
    return found


def _from_table(file: Path, split: str) -> Iterator[Caption]:
    text = file.read_text("utf-8-sig")
    lines = text.splitlines()
    if lines and all(TOKEN_LINE.fullmatch(line) for line in lines if line.strip()):
        for line in lines:
            if found := TOKEN_LINE.fullmatch(line):
                yield Caption(found["picture"].strip(), found["text"].strip())
        return
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=_separator(lines)))
    if not rows:
        return
    head = [name.strip().lower() for name in rows[0]]
    picture, caption = _column(head, PICTURE), _column(head, TEXT)
    has_names = picture is not None and caption is not None
    if not has_names and len(head) != 2:
        raise ValueError(f"its first line names no column for the picture ({', '.join(PICTURE)}) "
                         f"and the caption ({', '.join(TEXT)})")  # fmt: skip
    at = (picture, caption) if picture is not None and caption is not None else (0, 1)
    of_split = head.index("split") if has_names and "split" in head else None
    for row in rows[1:] if has_names else rows:
        if len(row) > max(at) and (of_split is None or row[of_split] == split):
            yield Caption(row[at[0]].strip(), row[at[1]].strip())


def _separator(lines: Sequence[str]) -> str:
    first = lines[0] if lines else ""
    return max("\t|;,", key=lambda sign: (first.count(sign) > 0, sign == "\t", first.count(sign)))


def _column(head: Sequence[str], names: Sequence[str]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


def _from_lines(file: Path, split: str) -> Iterator[Caption]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    held = json.loads(line)
                except ValueError as error:
                    raise ValueError(f"line {number} is not JSON ({error})") from error
                yield from _of_object(held, split)


def _from_json(file: Path, split: str) -> Iterator[Caption]:
    held = json.loads(file.read_text("utf-8-sig"))
    if isinstance(held, Mapping) and "annotations" in held:
        names = {image["id"]: image["file_name"] for image in held.get("images", ())}
        for note in held["annotations"]:
            if note.get("image_id") in names and isinstance(note.get("caption"), str):
                yield Caption(names[note["image_id"]], note["caption"].strip())
        return
    objects = held.get("images", ()) if isinstance(held, Mapping) else held
    for each in objects if isinstance(objects, Sequence) else ():
        yield from _of_object(each, split)


def _of_object(held: Any, split: str) -> Iterator[Caption]:
    """Yield the captions of one object; it may have several, or sentences as Karpathy's do."""
    if not isinstance(held, Mapping) or held.get("split", split) != split:
        return
    picture = next((held[name] for name in PICTURE if isinstance(held.get(name), str)), None)
    if picture is None:
        return
    if isinstance(held.get("filename"), str) and isinstance(held.get("filepath"), str):
        picture = os.path.join(held["filepath"], held["filename"])  # COCO in Karpathy's split
    said = held.get("sentences") or next((held[name] for name in TEXT if held.get(name)), ())
    for each in [said] if isinstance(said, str) else said:
        text = each.get("raw") if isinstance(each, Mapping) else each
        if isinstance(text, str):
            yield Caption(picture, text.strip())


def _from_tars(file: Path, split: str) -> Iterator[Caption]:
    for shard in expanded(file):
        yield from _from_tar(shard)


def expanded(file: Path) -> list[Path]:
    """Return the files that a name like `shards/{000..099}.tar` stands for."""
    found = SHARDS.fullmatch(os.fspath(file))
    if not found:
        return [file]
    first, last, width = int(found["first"]), int(found["last"]), len(found["first"])
    if not first <= last < first + MAX_SHARDS:
        raise InvalidQuery(f"{file} stands for no shards; write the lower number first")
    numbers = range(first, last + 1)
    return [Path(f"{found['head']}{number:0{width}}{found['tail']}") for number in numbers]


def _from_tar(shard: Path) -> Iterator[Caption]:
    pictures, texts = dict[str, str](), dict[str, str]()
    with tarfile.open(shard) as opened:
        for member in opened:
            name = PurePosixPath(member.name)
            key = os.fspath(name.parent / name.name.partition(".")[0])
            suffix = name.suffix.lower()
            if not member.isfile():
                continue
            if suffix not in (".txt", ".json"):
                pictures.setdefault(key, member.name)
            elif member.size <= MAX_MEMBER and (held := opened.extractfile(member)):
                said = held.read().decode("utf-8", "replace")
                if suffix == ".txt":
                    texts[key] = said.strip()
                elif text := next((c.text for c in _of_object(_named(said, key), SPLIT)), None):
                    texts.setdefault(key, text)
    for key, picture in pictures.items():
        if key in texts:
            yield Caption(f"{shard.name}/{picture}", texts[key])


def _named(said: str, key: str) -> Any:
    """Return the object of a .json member, which need not name its picture."""
    try:
        held = json.loads(said)
    except ValueError:
        return None
    return {**held, "path": key} if isinstance(held, Mapping) else None


READERS: dict[str, Callable[[Path, str], Iterator[Caption]]] = {
    ".csv": _from_table,
    ".tsv": _from_table,
    ".txt": _from_table,
    ".jsonl": _from_lines,
    ".json": _from_json,
    ".tar": _from_tars,
}
