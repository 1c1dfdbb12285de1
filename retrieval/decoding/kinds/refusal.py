"""Why the bytes of a file cannot be read as a picture: one true sentence."""

from retrieval.decoding.formats import FORMATS
from retrieval.decoding.kinds.names import Kind
from retrieval.decoding.kinds.signatures import HEAD_BYTES, Signature, is_read, signature_of
from retrieval.errors import FailureCode, UnreadablePicture

UNKNOWN = "it is not a picture in a format that can be read"
KINDS = {Kind.VIDEO: "a video", Kind.DRAWING: "a drawing"}


def refused(data: bytes) -> UnreadablePicture:
    """Return the error for bytes that no decoder takes for a picture."""
    found = signature_of(data[:HEAD_BYTES])
    if found is None:
        return UnreadablePicture(UNKNOWN, FailureCode.NOT_A_PICTURE)
    if found.kind is None:
        return _of_picture(found, data)
    return UnreadablePicture(_of_other(found), FailureCode.NOT_A_PICTURE)


def _of_other(found: Signature) -> str:
    if found.name == "encrypted":
        return "it is not a picture that can be read: it is encrypted"
    if found.kind == Kind.RAW:
        return f"it is not a picture that can be read: it is a raw camera file ({found.name})"
    if found.name == "text":
        return "it is not a picture but text"
    assert found.kind  # not a picture
    what = KINDS.get(found.kind, "another file")
    return f"it is not a picture but {what} ({found.name})"


def _of_picture(found: Signature, data: bytes) -> UnreadablePicture:
    """Return the error for a picture that its decoder refuses, or that has no decoder here."""
    name = found.name
    if name == "PSD" and (bits := int.from_bytes(data[22:24], "big")) > 8:
        said = f"it cannot be decoded: a PSD of {bits} bits a channel"
        return UnreadablePicture(said, FailureCode.NOT_A_PICTURE)
    if is_read(name):
        return UnreadablePicture(f"it cannot be decoded: the {name} decoder refuses it")
    needs = next((each.needs for each in FORMATS if each.name == name and each.needs), None)
    if needs is None:
        return UnreadablePicture(
            f"it is not a picture in a format that can be read, but {name}",
            FailureCode.NOT_A_PICTURE,
        )
    package = needs.replace("_", "-")
    said = f"it cannot be decoded without {package}: pip install {package}"
    return UnreadablePicture(said, FailureCode.NOT_A_PICTURE)
