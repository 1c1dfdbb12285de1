"""Plugins for Pillow: formats that it does not read, and smaller pictures stored inside of others.

smaller      the seam: a picture that can be read smaller than it is
boxes        the boxes of ISO media files, and the items of HEIF and AVIF in them
heif         HEIC by pi-heif, with the small picture that phones store inside
jxl          JPEG XL by imagecodecs; `jxl_header` says its size and colours
raw          raw camera files by LibRaw, with the JPEG that cameras store inside; `raw_exif`
jpeg2000     JPEG 2000 at a half or a quarter, as its wavelets hold it
tiff         the reduced pages of TIFF pyramids; `tiff_samples` reads what Pillow has no mode for
psd          Photoshop files of every depth, with their EXIF

Each module of a format has a function `register`, which `formats.pillow_formats` calls.
"""
