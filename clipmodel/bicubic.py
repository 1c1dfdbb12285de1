"""Bicubic resampling: Pillow's, and one by SIMD instructions in a quarter of its time."""

from PIL import Image

try:
    import cykooz_resizer as simd
except ImportError:  # it comes for the common machines only, see pyproject.toml
    simd = None

Box = tuple[float, float, float, float]  # left, top, right, bottom

# Of more pixels Pillow resamples alone: to copy them would take what the arithmetic saves.
MOST_PIXELS = 4_000_000


def exact(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """`box` of a picture as `size`, width and height: by Pillow, as torchvision does it."""
    return image.resize(size, Image.Resampling.BICUBIC, box)


def quick(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """The same of an RGB picture, but for some 0.3 % of the values, which are one of 255 beside it,
    rarely two.
    """
    assert image.mode == "RGB"
    width, height = image.size
    if simd is None or max(width, size[0]) * height > MOST_PIXELS:
        return exact(image, size, box)
    left, top, right, bottom = box
    # The pixels are copied, as the package's own way to Pillow's images relies on how these lie in
    # memory, which Pillow may change.
    whole = simd.ImageData(width, height, simd.PixelType.U8x3, image.tobytes())
    # Across and then down, as Pillow does (from 13 on not in tall pictures). Left to itself the
    # package goes down first, and rounding in between puts every fifth value beside Pillow's.
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
