"""Kinds of files that are left out, by extension, and what users are told about each.

A name is enough for most files. An unknown extension, or none, may hide a picture; then the first
bytes decide (signatures.py).
"""

import os
from collections.abc import Iterable
from enum import StrEnum

from retrieval.decoding.formats import RAW_EXTENSIONS, missing_extensions, picture_extensions
from retrieval.records import LeftOut
from retrieval.wording import counted

MAX_EXTENSION = 12  # bytes with the dot; what follows the last dot of a sentence is longer
NAMED_IN_A_LINE = 8  # extensions; the rest is counted together


class Kind(StrEnum):
    """Why a file or folder is left out. Catalogs and JSON contain the values."""

    VIDEO = "video"  # of a kind that is not read
    UNWANTED = "unwanted"  # a video, in a run with --no-videos
    DRAWING = "drawing"
    RAW = "raw"  # of a camera
    NEEDS = "needs"  # a picture in a format whose decoder is not installed
    SIDECAR = "sidecar"  # facts about a picture that is not there
    UNKNOWN = "unknown"  # no picture by its first bytes
    DOCUMENT = "document"  # known to be something else
    UNREADABLE = "unreadable"  # nobody could look into it
    HIDDEN = "hidden"
    HIDDEN_FOLDER = "hidden_folder"  # not entered; also folders such as node_modules
    EXCLUDED = "excluded"  # by --exclude, or by `retrieve forget`
    EXCLUDED_FOLDER = "excluded_folder"  # not entered
    NOT_FETCHED = "not_fetched"  # by img2dataset, says the table beside a shard

    @classmethod
    def _missing_(cls, value: object) -> "Kind":
        """Treat values of newer versions or damaged catalogs as UNKNOWN."""
        return cls.UNKNOWN


VIDEOS = frozenset(
    b".mp4 .mov .m4v .avi .mkv .webm .3gp .3g2 .mpg .mpeg .mts .m2ts .wmv .flv .ogv .vob .lrv "
    b".insv .mp .asf .divx .mxf .braw".split()
)
DRAWINGS = frozenset(
    b".svg .svgz .eps .ps .ai .cdr .emf .wmf .dxf .dwg .odg .vsd .vsdx .fig .sketch .afdesign "
    b".xcf .kra .clip .procreate .afphoto .drawio .excalidraw".split()
)
UNREAD_RAWS = frozenset(b".ari .cap .drf .eip .r3d .rwz".split())  # not looked for
RAWS = UNREAD_RAWS | {os.fsencode(each) for each in (*RAW_EXTENSIONS.split(), ".raw")}
SIDECARS = frozenset(b".xmp .aae .thm .json".split())
DOCUMENTS = frozenset(
    # texts and office documents
    b".txt .md .rst .log .rtf .tex .pdf .doc .docx .dot .dotx .odt .ott .pages .xls .xlsx .xlsm "
    b".ods .numbers .ppt .pptx .odp .key .epub .mobi .azw3 .djvu .csv .tsv .ics .vcf .eml .msg "
    b".mbox .srt .vtt .sub .nfo .tmp .temp .part .partial .crdownload .download .lock .torrent "
    # data, code and settings
    b".json .jsonl .xml .yaml .yml .toml .ini .cfg .conf .plist .properties .htm .html .xhtml .css "
    b".scss .js .mjs .cjs .ts .tsx .jsx .vue .map .wasm .py .pyc .pyi .pyx .ipynb .c .h .cc .cpp "
    b".cxx .hpp .hh .cs .java .class .jar .kt .go .rs .rb .php .pl .pm .sh .bash .zsh .fish .bat "
    b".cmd .ps1 .lua .swift .m .mm .r .jl .sql .sqlite .sqlite3 .db .db3 .db-wal .db-shm .parquet "
    b".arrow .npy .npz .pkl .pickle .h5 .hdf5 .mat .safetensors .pt .pth .ckpt .onnx .faiss .bin "
    b".dat .in .out .am .ac .m4 .cmake .make .mk .o .a .so .dll .dylib .exe .msi .app .deb .rpm "
    b".apk .ipa .iso .img .dmg .vmdk .qcow2 .po .pot .mo .pem .crt .gpg .asc .sig .patch .diff "
    # archives
    b".zip .tar .gz .tgz .bz2 .tbz .xz .txz .zst .7z .rar .lz .lz4 .lzma .cab .zipx .cbz .cbr .whl "
    # sounds, fonts, three dimensions, geography, catalogs of other programs
    b".mp3 .m4a .aac .flac .ogg .oga .opus .wav .wma .aif .aiff .amr .mid .midi .m3u .m3u8 .cue "
    b".ttf .otf .woff .woff2 .eot .pfb .afm .stl .obj .mtl .fbx .blend .gltf .glb .ply .dae .3ds "
    b".gpx .kml .kmz .geojson .shp .shx .dbf .lrcat .lrdata .lrprev .cos .cot .cop .pp3 .dop .on1 "
    b".icm .icc .cube .3dl .lut .acr .xmpmeta .url .lnk .webloc .desktop .theme".split()
)

WORDS = {
    Kind.VIDEO: "videos of this kind are not read",
    Kind.UNWANTED: "videos, by --no-videos",
    Kind.DRAWING: "drawings are not read",
    Kind.RAW: "raw files of this kind are not read",
    Kind.SIDECAR: "sidecars without a picture",
    Kind.UNKNOWN: "not recognised as pictures",
}


NAMED_KINDS = frozenset((*WORDS, Kind.NEEDS))  # counted by extension


def extension_of(name: bytes) -> bytes:
    """Return the extension of a name in lower case, with its dot; empty without one."""
    at = name.rfind(b".")
    if at <= 0 or len(name) - at > MAX_EXTENSION or name[at + 1 :].isdigit() or b" " in name[at:]:
        return b""
    return name[at:].lower()


def kind_by_name(extension: bytes) -> Kind | None:
    """Return the kind of files with this extension; None where the first bytes have to decide."""
    if extension in UNREAD_RAWS:
        return Kind.RAW
    if extension in VIDEOS:
        return None if extension in picture_extensions() else Kind.VIDEO
    if extension in DRAWINGS:
        return Kind.DRAWING
    if extension in DOCUMENTS:
        return Kind.DOCUMENT
    if extension in SIDECARS and extension != b".thm":  # a .thm is a small JPEG
        return Kind.SIDECAR
    return None


def lacking(extension: str) -> str | None:
    """Return how to install what reads files with this extension, if it is not installed."""
    return missing_extensions().get(os.fsencode(extension))


def in_words(several: Iterable[LeftOut]) -> str:
    """Return one line about all that was left out; empty if nothing was."""
    held = list(several)
    named = [each for each in held if each.kind in NAMED_KINDS]
    named.sort(key=lambda each: (-each.count, each.extension))
    parts = [phrase(each) for each in named[:NAMED_IN_A_LINE]]
    if rest := named[NAMED_IN_A_LINE:]:
        parts.append(f"{sum(each.count for each in rest):,} of {len(rest)} other kinds")
    return ", ".join([*parts, *(phrase(each) for each in held if each.kind not in NAMED_KINDS)])


def phrase(left: LeftOut) -> str:
    """Say what was left out and why, and what to do about it if anything helps."""
    kind = Kind(left.kind)
    if kind not in NAMED_KINDS:
        noun, end = UNNAMED[kind]
        return f"{counted(left.count, noun)}{end}"
    why = WORDS.get(kind, "not read by the last run")
    if kind == Kind.NEEDS and (how := lacking(left.extension)):
        why = f"to read them: {how}"
    return f"{left.count:,} {left.extension or 'without extension'} ({why})"


UNNAMED = {
    Kind.DOCUMENT: ("other file", " (documents and the like)"),
    Kind.UNREADABLE: ("file", " that could not be opened"),
    Kind.HIDDEN: ("hidden file", ""),
    Kind.HIDDEN_FOLDER: ("hidden folder", ""),
    Kind.EXCLUDED: ("file", " by --exclude"),
    Kind.EXCLUDED_FOLDER: ("folder", " by --exclude"),
    Kind.NOT_FETCHED: ("picture", " that img2dataset could not download"),
}
