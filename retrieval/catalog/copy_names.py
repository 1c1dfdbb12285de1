"""Names that systems give to copies: "x (1)", "Copy of x", "x - Kopie (2)", "xのコピー"."""

import re
import unicodedata

# Words that file managers and browsers append to a name, in many languages.
WORDS = (
    *("copy", "copia", "cópia", "copie", "còpia", "kopie", "kopia", "kopi", "kopio", "kópia"),
    *("kopija", "kopya", "kopyası", "másolat", "másolata", "копия", "копія", "копие", "αντίγραφο"),
    *("コピー", "副本", "拷贝", "拷貝", "複製", "复件", "복사본", "사본"),
    *("bản sao", "salinan", "עותק", "نسخة"),
)
# Words that they prepend. Those that may begin other names too ("copy shop") need a preposition.
AHEAD = (
    *(r"copy(?: \(\d{1,3}\))? of", "copia de", "copia di", "cópia de", "còpia de", "copie de"),
    *("copie a", "kopie von", "kopie van", "kopie", "kopia av", "kopia", "kopi av", "kopi af"),
    *("kopio tiedostosta", "kopio"),
    *("kópia", "копия", "копія", "копие на", "αντίγραφο από", "コピー", "复件", "複製", "복사본"),
)
NUMBER = r"[ (\[]*(?:\d{1,3}[)\]]?)?"  # "Copy (2)", "copy 2"
BEHIND = rf"(?:[ _.,(-]|の|的)+(?:another |\d+\w\w )?(?:{'|'.join(WORDS)}){NUMBER}\)?$"
NUMBERED = r" ?\(\d{1,3}\)$"  # a browser's second download; a year has four digits
BEFORE = rf"^(?:{'|'.join(AHEAD)})(?: ?\(\d{{1,3}}\))?[ _-]"
# Chinese, Japanese and Korean need no space before their words.
CLOSE = rf"(?:コピー|副本|拷贝|拷貝|복사본){NUMBER}$"

COPY = re.compile("|".join((BEHIND, NUMBERED, BEFORE, CLOSE)))
DASHES = str.maketrans("–—\u2010\u2011_", "-----")


def is_copy_name(name: str) -> bool:
    """Return whether a file's name says that the file is a copy of another."""
    stem = name.rpartition(".")[0] or name
    return COPY.search(unicodedata.normalize("NFC", stem).casefold().translate(DASHES)) is not None
