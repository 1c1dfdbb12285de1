"""What the metadata of a picture say, and what lies beside it says.

facts    composes the facts of an opened picture; `exif.py` reads camera and place
dates    dates in all forms in which cameras and programs write them, and in file names
xmp      XMP, inside a file or as a sidecar
iptc     IPTC's older records
takeout  the JSON files of Google Takeout
"""
