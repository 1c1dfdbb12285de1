"""The one list of picture formats, for scanning, decoding, filtering and serving.

It does not import Pillow, which a search by words does not need.
"""

import importlib
import importlib.util
import os
from contextlib import suppress
from functools import cache
from typing import NamedTuple


class Format(NamedTuple):
    """A raster format: its names, its media type, and what reads it."""

    name: str  # Pillow's, and the catalog's
    extensions: tuple[str, ...]  # lower-case, with the dot; the usual one first
    media_type: str = "application/octet-stream"
    counts_as: str | None = None  # another format whose name people use for it
    needs: str | None = None  # a module besides Pillow, without which such files are skipped
    extra: str | None = None  # of this package, that installs that module; None: it comes with it
    is_film: bool = False  # a video, which FFmpeg reads; all others, Pillow


def _format(
    name: str,
    extensions: str,
    media_type: str = "application/octet-stream",
    counts_as: str | None = None,
    needs: str | None = None,
    extra: str | None = None,
) -> Format:
    return Format(name, tuple(extensions.split()), media_type, counts_as, needs, extra)


# Of the cameras that LibRaw reads; without .tif, and .raw, which may be anything (its first bytes
# decide).
RAW_EXTENSIONS = (
    ".dng .nef .nrw .cr2 .cr3 .crw .arw .srf .sr2 .raf .orf .ori .rw2 .rwl .pef .srw .3fr .fff "
    ".iiq .mef .mos .mrw .x3f .erf .kdc .dcr .k25 .dcs .bay .gpr .mdc .ptx .pxn"
)


def _film(name: str, extensions: str, media_type: str) -> Format:
    return Format(name, tuple(extensions.split()), media_type, None, "av", "video", is_film=True)


# .ts is left out, as it mostly means TypeScript; a transport stream is found by its first bytes.
FILMS = (
    _film("MP4", ".mp4 .m4v .mp", "video/mp4"),
    _film("MOV", ".mov .qt", "video/quicktime"),
    _film("3GP", ".3gp .3g2", "video/3gpp"),
    _film("MKV", ".mkv", "video/x-matroska"),
    _film("WEBM", ".webm", "video/webm"),
    _film("AVI", ".avi .divx", "video/x-msvideo"),
    _film("MTS", ".mts .m2ts", "video/mp2t"),
    _film("MPEG", ".mpg .mpeg .vob", "video/mpeg"),
    _film("WMV", ".wmv .asf", "video/x-ms-wmv"),
    _film("FLV", ".flv", "video/x-flv"),
)
FILM_EXTENSIONS = frozenset(os.fsencode(end) for each in FILMS for end in each.extensions)

# Everything Pillow opens (a test compares), without extensions that mostly mean something else:
# .fit (sports watches), .im, .vst and .vda; and what `plugins` adds to it.
FORMATS = (
    _format("JPEG", ".jpg .jpeg .jpe .jfif", "image/jpeg"),
    _format("MPO", ".mpo", "image/jpeg", counts_as="JPEG"),  # what phones write as .jpg
    _format("PNG", ".png .apng", "image/png"),
    _format("GIF", ".gif", "image/gif"),
    _format("WEBP", ".webp", "image/webp"),
    _format("TIFF", ".tif .tiff", "image/tiff"),
    _format("BMP", ".bmp", "image/bmp"),
    _format("DIB", ".dib", "image/bmp"),
    _format("AVIF", ".avif .avifs", "image/avif"),
    _format("HEIF", ".heic .heif .hif .heics .heifs", "image/heic", needs="pi_heif"),
    _format("JXL", ".jxl", "image/jxl", needs="imagecodecs", extra="jxl"),
    _format("RAW", RAW_EXTENSIONS, needs="rawpy"),
    _format("JPEG2000", ".jp2 .j2k .jpc .jpf .jpx .j2c", "image/jp2"),
    _format("PPM", ".ppm .pgm .pbm .pnm .pfm", "image/x-portable-anymap"),
    _format("PSD", ".psd .psb", "image/vnd.adobe.photoshop"),
    _format("TGA", ".tga", "image/x-tga"),
    _format("QOI", ".qoi"),
    _format("PCX", ".pcx"),
    _format("DCX", ".dcx"),
    _format("SGI", ".sgi .rgb .rgba .bw"),
    _format("SUN", ".ras"),
    _format("ICO", ".ico", "image/x-icon"),
    _format("ICNS", ".icns"),
    _format("CUR", ".cur"),
    _format("DDS", ".dds"),
    _format("BLP", ".blp"),
    _format("FTEX", ".ftc .ftu"),
    _format("FLI", ".fli .flc"),
    _format("GBR", ".gbr"),
    _format("MSP", ".msp"),
    _format("PCD", ".pcd"),
    _format("PIXAR", ".pxr"),
    _format("XBM", ".xbm"),
    _format("XPM", ".xpm"),
    *FILMS,
)
MOVING = frozenset("GIF WEBP AVIF PNG TIFF".split())  # which may hold several frames or pages
COMMON = ["JPEG", "PNG", "GIF"]  # read without Pillow's other plugins, which take 0.2 s to load
READING = 1  # counts up when files can be read that could not be before
BETTER = ("TIFF", "PSD", "JPEG2000")  # read by plugins of ours in place of Pillow's
# Read if such a file is named, but not looked for: their extensions mostly mean something else.
UNSOUGHT = ("FITS", "IM", "IMT", "MCIDAS", "SPIDER", "XVTHUMB")
# Pillow opens these too, but they are not raster pictures or need other programs.
NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}


@cache
def pillow_formats() -> list[str]:
    """Load all plugins, Pillow's and ours, and return the names of the picture formats.

    RAW is first: such files are TIFFs as well, whose first picture is a stamp.
    """
    from PIL import Image

    Image.init()
    for each in FORMATS:
        if each.name in BETTER or (each.needs and _is_there(each.needs)):
            with suppress(ImportError):  # a damaged installation: its files say so, one by one
                plugin = f"retrieval.decoding.plugins.{each.name.lower()}"
                importlib.import_module(plugin).register()
    names = [format for format in Image.ID if format not in NOT_PICTURES]
    return sorted(names, key=lambda name: name != "RAW")


@cache
def picture_extensions() -> frozenset[bytes]:
    """Return the extensions of readable formats: lower-case, with the dot."""
    readable = (each for each in FORMATS if each.needs is None or _is_there(each.needs))
    return frozenset(os.fsencode(ext) for each in readable for ext in each.extensions)


def abilities() -> frozenset[str]:
    """Return what files are read by, as words; with a new one, what could not be read may be."""
    modules = {each.needs for each in FORMATS if each.needs and _is_there(each.needs)}
    return frozenset({str(READING), *modules})


@cache
def missing_extensions() -> dict[bytes, str]:
    """Return the extensions of formats whose module is not installed, and how to install it."""
    return {
        os.fsencode(ext): f'pip install ".[{each.extra}]"'
        if each.extra
        else f"pip install {each.needs.replace('_', '-')}"
        for each in FORMATS
        if each.needs and not _is_there(each.needs)
        for ext in each.extensions
    }


@cache
def can_read_films() -> bool:
    """Return whether the module that reads videos is installed."""
    return _is_there("av")


def is_named_as_film(path: str | bytes | os.PathLike[str]) -> bool:
    """Return whether a file is a video by its name."""
    name = path if isinstance(path, bytes) else os.fsencode(path)
    if name[name.rfind(b".") :].lower() not in FILM_EXTENSIONS:  # nearly always, and quick
        return False
    return os.path.splitext(name)[1].lower() in FILM_EXTENSIONS


def is_film(name: str) -> bool:
    """Return whether a format, by the catalog's name, is one of videos."""
    return any(each.name == name for each in FILMS)


def is_named_as_picture(word: str) -> bool:
    return os.fsencode(os.path.splitext(word)[1]).lower() in picture_extensions()


# What the browsers of the day show by themselves, as it is meant, in colours as well.
FOR_BROWSERS = frozenset("JPEG MPO PNG GIF WEBP AVIF BMP ICO".split())
QUICK = FOR_BROWSERS - {"AVIF"}  # to decode anew whenever it is asked for


def is_for_browsers(name: str) -> bool:
    """Return whether browsers can show files of a format, by Pillow's name."""
    return name in FOR_BROWSERS


def is_slow(name: str) -> bool:
    """Return whether a format takes so long to decode that larger pictures of it are kept."""
    return name not in QUICK


def media_type(name: str) -> str:
    """Return the media type of a format by Pillow's name."""
    return next((each.media_type for each in FORMATS if each.name == name), FORMATS[-1].media_type)


def names_meant(word: str) -> tuple[str, ...]:
    """Return Pillow's names for what people call a format: "jpg" means JPEG, and MPO as well.

    An unknown word is returned in capitals.
    """
    called = word.strip().lstrip(".")
    meant = [
        each.name
        for each in FORMATS
        if called.upper() == each.name or f".{called.lower()}" in each.extensions
    ]
    also = [each.name for each in FORMATS if each.counts_as in meant]
    return (*meant, *also) or (called.upper(),)


def format_words() -> frozenset[str]:
    """Return every name and extension of a format, in lower case, without the dot."""
    names = {name.lower() for name in (*UNSOUGHT, *(each.name for each in FORMATS))}
    return frozenset(names | {ext[1:] for each in FORMATS for ext in each.extensions})


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
