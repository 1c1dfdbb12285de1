"""Bicubic resampling: Pillow's, and a SIMD version that takes a quarter of the time."""

from PIL import Image

try:
    import cykooz_resizer as simd
except ImportError:  # available for common machines only, see pyproject.toml
    simd = None

Box = tuple[float, float, float, float]  # left, top, right, bottom

# Larger pictures are left to Pillow: copying them would take the time that SIMD saves.
MAX_SIMD_PIXELS = 4_000_000


def exact(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Resample `box` of a picture to `size` (width, height) with Pillow, as torchvision does."""
    return image.resize(size, Image.Resampling.BICUBIC, box)


def quick(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Resample an RGB picture almost as `exact` does.

    Some 0.3% of the values differ by 1 of 255, rarely by 2.
    """
    assert image.mode == "RGB"
    width, height = image.size
    if simd is None or max(width, size[0]) * height > MAX_SIMD_PIXELS:
        return exact(image, size, box)
    left, top, right, bottom = box
    # The pixels are copied, because the package's own access to Pillow's images relies on their
    # layout in memory, which Pillow may change.
    whole = simd.ImageData(width, height, simd.PixelType.U8x3, image.tobytes())
    # Horizontally, then vertically, as Pillow does (since 13 not for tall pictures). By default the
    # package starts vertically, and rounding in between changes every fifth value.
    narrow = _resampled(whole, (size[0], height), simd.CropBox(left, 0, right - left, height))
    small = _resampled(narrow, size, simd.CropBox(0, top, size[0], bottom - top))
    return Image.frombytes("RGB", size, small.get_buffer())


def _resampled(
    image: "simd.ImageData", size: tuple[int, int], box: "simd.CropBox"
) -> "simd.ImageData":
    cubic = simd.ResizeAlg.convolution(simd.FilterType.catmull_rom)  # Pillow's, by its full name
    resampled = simd.ImageData(*size, simd.PixelType.U8x3)
    simd.Resizer().resize(
        image, resampled, simd.ResizeOptions(resize_alg=cubic, crop_box=box, use_alpha=False)
    )
    return resampled
