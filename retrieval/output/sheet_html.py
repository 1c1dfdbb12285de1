"""A contact sheet as a page: one self-contained HTML file."""

import base64
import io
import os
from collections.abc import Iterator, Sequence
from html import escape

from retrieval.output.captions import Section, Shown, thumbnail
from retrieval.output.text import printable

MAX_WIDTH, MAX_HEIGHT = 1080, 360  # of an embedded picture, for high-density screens
QUALITY = 80
ROW = 180  # height of a row before it is stretched to the width of the window

STYLE = """
:root { color-scheme: light dark; --paper: #fafaf8; --ink: #202024; --faint: #6b6b73; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #18181b; --ink: #ececf0; --faint: #9d9da6; }
}
body { margin: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.4 system-ui, sans-serif; }
h1 { margin: 1.5rem 0 .75rem; font-size: 1.3rem; font-weight: 600; overflow-wrap: anywhere; }
section { display: flex; flex-wrap: wrap; gap: 1rem .75rem; }
section::after { content: ""; flex: 1000 1 0; }
figure { margin: 0; min-width: 0; max-width: 100%; }
img, .gone { display: block; width: 100%; height: auto; border-radius: 4px; background: #8883; }
figcaption { color: var(--faint); font-size: .8rem; }
figcaption div { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
"""


def page(sections: Sequence[Section]) -> Iterator[str]:
    """Yield the page in pieces, so that only one picture is in memory at a time."""
    title = escape(sections[0].title) if sections else ""
    yield f'<!doctype html>\n<meta charset="utf-8">\n<title>{title}</title>\n'
    yield '<meta name="viewport" content="width=device-width">\n'
    yield f"<style>{STYLE}</style>\n"
    for section in sections:
        yield f"<h1>{escape(section.title)}</h1>\n<section>\n"
        yield from map(_figure, section.shown)
        yield "</section>\n" if section.shown else "</section>\n<p>nothing found</p>\n"


def _figure(one: Shown) -> str:
    """Return a picture as wide as its shape needs; pictures of a row grow alike, so they keep equal
    heights.
    """
    picture = thumbnail(one, MAX_WIDTH, MAX_HEIGHT)
    width, height = picture.size if picture else (4, 3)
    path, name = escape(printable(os.fspath(one.path))), escape(one.name)
    seen = f'<div class="gone" style="aspect-ratio: {width}/{height}"></div>'
    if picture:
        stream = io.BytesIO()
        picture.save(stream, "WEBP", quality=QUALITY)
        data = base64.b64encode(stream.getvalue()).decode("ascii")
        seen = f'<img src="data:image/webp;base64,{data}" alt="{name}" {width=} {height=}>'
    shape = width / height
    return (
        f'<figure style="flex: {shape:.3f} 1 {shape * ROW:.0f}px">'
        f'<a href="{escape(one.path.as_uri())}" title="{path}">{seen}</a>'
        f"<figcaption><div>{escape(one.caption)}</div><div>{name}</div></figcaption></figure>\n"
    )
