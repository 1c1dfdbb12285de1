import io
import json
import tarfile
from pathlib import Path

import pytest

from retrieval.errors import InvalidQuery, InvalidValue, PathNotFound
from retrieval.evaluation.captions import Caption, read_captions

PAIRS = [Caption("a.jpg", "a dog, running"), Caption("b/c.jpg", "the sea")]


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'path,caption\na.jpg,"a dog, running"\nb/c.jpg,the sea\n'),
        ("a.csv", '\ufeffcaption,path\n"a dog, running",a.jpg\nthe sea,b/c.jpg\n'),
        ("a.csv", 'a.jpg,"a dog, running"\nb/c.jpg,the sea\n'),
        ("results.csv", "image_name| comment_number| comment\na.jpg| 0| a dog, running\n"
         "b/c.jpg| 1| the sea\nd.jpg| 4   a line with a column less\n"),  # Flickr30k's
        ("flickr_test.txt", "image,caption\na.jpg,a dog, running\nb/c.jpg,the sea\n"),  # not quoted
        ("a.csv", "a.jpg,a dog, running\nb/c.jpg,the sea\n"),
        ("a.csv", 'path;caption\na.jpg;"a dog, running"\nb/c.jpg;the sea\n'),
        ("a.tsv", "image\ttext\na.jpg\ta dog, running\nb/c.jpg\tthe sea\n"),
        ("a.token", "a.jpg#0\ta dog, running\nb/c.jpg#4\tthe sea\n"),
        ("a.csv", "path,caption,split\na.jpg,no,train\n"
         'a.jpg,"a dog, running",test\nb/c.jpg,the sea,test\n'),
        ("a.jsonl", '{"image": "a.jpg", "caption": "a dog, running"}\n\n'
         '{"file_name": "b/c.jpg", "text": "the sea"}\n'),
        ("a.json", '{"image": "a.jpg", "caption": "a dog, running"}\n'
         '{"file_name": "b/c.jpg", "text": "the sea"}\n'),
        ("a.json", json.dumps([{"image": "a.jpg", "caption": ["a dog, running"]},
                               {"image": "b/c.jpg", "caption": "the sea"}])),
        ("coco.json", json.dumps({
            "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b/c.jpg"}],
            "annotations": [{"image_id": 7, "caption": "a dog, running "},
                            {"image_id": 9, "caption": "the sea"},
                            {"image_id": 1, "caption": "of no picture"}]})),
        ("karpathy.json", json.dumps({"images": [
            {"filename": "a.jpg", "split": "test", "sentences": [{"raw": "a dog, running"}]},
            {"filename": "c.jpg", "filepath": "b", "split": "test",
             "sentences": [{"raw": "the sea"}]},
            {"filename": "d.jpg", "split": "train", "sentences": [{"raw": "no"}]}]})),
    ],
)  # fmt: skip
def test_every_form_says_the_same(tmp_path: Path, name: str, text: str) -> None:
    assert read_captions(written(tmp_path / name, text)) == PAIRS


def test_another_split(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", "path,caption,split\na.jpg,yes,val\nb.jpg,no,test\n")
    assert read_captions(file, "val") == [Caption("a.jpg", "yes")]


def test_shards(tmp_path: Path) -> None:
    for number, (key, text) in enumerate((("a", "a dog, running"), ("b/c", "the sea"))):
        with tarfile.open(tmp_path / f"{number:03}.tar", "w") as shard:
            members = {"lost.jpg": b"y", f"{key}.jpg": b"x"}
            if number:
                members[f"{key}.json"] = json.dumps({"caption": text}).encode()
            else:
                members |= {f"{key}.txt": text.encode(), f"{key}.json": b"[1]"}
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))
    assert read_captions(tmp_path / "{000..001}.tar") == [
        Caption("000.tar/a.jpg", "a dog, running"),
        Caption("001.tar/b/c.jpg", "the sea"),
    ]
    with pytest.raises(PathNotFound, match=r"002\.tar"):
        read_captions(tmp_path / "{000..002}.tar")
    assert len(read_captions(tmp_path / "*.tar")) == 2
    with pytest.raises(InvalidValue, match="ends before it begins"):
        read_captions(Path("{5..1}.tar"))
    with pytest.raises(PathNotFound, match="no shard matches"):
        read_captions(tmp_path / "x*.tar")
    with pytest.raises(InvalidValue, match=r"is a folder; give .*\*\.tar"):
        read_captions(tmp_path)


def test_a_sample_of_a_shard_may_have_several_captions(tmp_path: Path) -> None:
    """clip_benchmark's shards have one on each line; those of img2dataset, the same one twice."""
    samples = {
        "a": {"txt": b"a dog\nthe dog runs\n"},
        "b": {"txt": b"the sea", "json": json.dumps({"caption": "the sea", "split": "x"}).encode()},
        "c": {"json": json.dumps({"captions": ["one", "two"]}).encode()},
        "d": {"json": json.dumps({"title": "named"}).encode()},
        "e": {"txt": b"\xff\n"},
    }
    with tarfile.open(tmp_path / "a.tar", "w") as shard:
        for key, beside in samples.items():
            for extension, data in {"jpg": b"x", **beside}.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))
    found = [(Path(each.picture).stem, each.text) for each in read_captions(tmp_path / "a.tar")]
    assert found == [
        *(("a", "a dog"), ("a", "the dog runs"), ("b", "the sea"), ("c", "one"), ("c", "two")),
        *(("d", "named"), ("e", "ÿ")),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "", "holds no captions"),
        ("a.csv", "a,b,c\n1,2,3\n", "names no column"),
        ("a.csv", "path,caption\n", "holds no captions"),
        ("a.json", "{", "cannot be read as captions"),
        ("a.json", "3", "holds no captions"),
        ("a.jsonl", '{"a": 1}\nx', "line 2 is not JSON"),
        ("a.json", '{"annotations": 3}', "holds no captions"),
        (
            "a.json",
            '{"images": [{"id": 1}, 2], "annotations": [3, {"image_id": 1}]}',
            "no captions",
        ),
        ("a.json", '[{"path": "a.jpg", "caption": 5}, {"path": 5}, 7]', "holds no captions"),
        ("a.json", '{"images": {"a": 1}}', "holds no captions"),
        ("a.csv", "path,caption,split\na.jpg,b,train\nc.jpg,d,val\n", "'test', but of train, val"),
        ("a.txt", "only words here\nand here\n", "names no column"),
        ("a.tar", "no tar", "cannot be read as captions"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidQuery, match=said):
        read_captions(written(tmp_path / name, text))


def test_a_table_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("path,caption\na.jpg,caf\u00e9\n".encode("cp1252"))
    with pytest.raises(InvalidQuery, match="not a text file in UTF-8"):
        read_captions(tmp_path / "a.csv")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"not from \.xlsx"):
        read_captions(written(tmp_path / "a.xlsx", ""))
    with pytest.raises(PathNotFound, match="no such file"):
        read_captions(tmp_path / "none.csv")
