"""The moments of what moves or has pages: which frames of it are worth a vector.

choice     of many frames the few that show something else, sharply
animation  the frames and pages that Pillow reads
"""
