"""Files as media: pictures, animations, documents of several pages and videos, read alike.

medium      a file opened as what it is
choice      of many frames the few that are moments: sharp, and of another scene
animation   the frames and pages that Pillow reads
film        a video, opened by FFmpeg; `film_facts` are its date, place and camera
watching    a walk through a video, to its moments
"""
