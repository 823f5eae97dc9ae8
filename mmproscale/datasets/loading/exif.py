"""What an image's Exif says of its orientation."""

from PIL import ExifTags, Image

UPRIGHT = 1
SIDEWAYS = (5, 6, 7, 8)  # at which width and height change places


def orientation(image: Image.Image) -> int:
    """Exif's orientation of an image that Pillow opened, 1 to 8; 1 where it says nothing."""
    # Of a PNG Pillow reads all pixels to look for Exif, which cameras do not write there.
    exif = {} if image.format == "PNG" else image.getexif()
    value = exif.get(ExifTags.Base.Orientation)
    return value if value in range(1, 9) else UPRIGHT
