"""Pictures from outside, read by the net that comes with the package."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from own_data import bars, write_folders
from PIL import Image

import mnist_cnn as mc
import mnist_cnn.predict.__main__ as predict
from mnist_cnn.data.photo import prepare_photo
from mnist_cnn.errors import InputError
from mnist_cnn.predict import shown

TEN = Path(__file__).parents[1] / "fixtures" / "digits.png"  # validation images of MNIST, from 0 to 9


def digit(number: int) -> np.ndarray:
    return np.asarray(Image.open(TEN))[:, 28 * number : 28 * number + 28]


def photo(number: int, side: int = 160) -> Image.Image:
    """Blue ink on cream paper, off the middle."""
    ink = np.asarray(Image.fromarray(digit(number)).resize((side, side), Image.Resampling.BICUBIC)) / 255
    page = np.full((2 * side, 3 * side, 3), (240, 232, 210), np.float64)
    place = page[side // 2 : side // 2 + side, side : 2 * side]
    place[:] = ink[..., None] * (30, 40, 130) + (1 - ink[..., None]) * place
    return Image.fromarray(page.astype(np.uint8))


@pytest.fixture
def ask(cli, capsys):
    """Calls the command and returns exit code, printed answers and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli(*arguments, main=predict.main)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_files_folders_and_patterns_are_read_in_their_order(ask, tmp_path):
    (tmp_path / "scans").mkdir()
    for number in (3, 1):
        photo(number).save(tmp_path / "scans" / f"{number}.jpg")
    photo(7).save(tmp_path / "seven=7.png")
    Image.fromarray(digit(5)).save(tmp_path / "five.bmp")
    code, out, err = ask("five.bmp", "scans", "sev*.png", "seven=7.png", "format=json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert [row["digit"] for row in rows] == ["5", "1", "3", "7", "7"]
    assert all(0.8 < row["probability"] <= 1 and not row["warnings"] for row in rows)
    assert rows[1]["box"][1] > 160


def test_the_answers_as_text_csv_and_a_sheet(ask, tmp_path):
    photo(4).save("four.png")
    Image.new("L", (50, 60), 200).save("blank.png")
    code, out, _ = ask("four.png", "blank.png", "sheet=sheet.png")
    first, second = out.splitlines()
    assert code == 0
    assert first.split()[:2] == ["four.png", "4"]
    assert second.split(maxsplit=1) == ["blank.png", "-  warning: no ink was found"]
    sheet = np.asarray(Image.open("sheet.png").convert("L"))
    assert (sheet == 0).mean() > 0.1  # what the net saw is black around the digit
    assert ask("four.png", "format=csv", "out=answers.csv")[:2] == (0, "")
    [row] = csv.DictReader(io.StringIO(Path("answers.csv").read_text()))
    assert (row["picture"], row["digit"]) == ("four.png", "4")
    assert float(row["probability"]) + float(row["second_probability"]) <= 1.000001


def test_the_sheet_shows_what_was_read(ask):
    """Deep and transparent pictures too, which Pillow alone would show white or black."""
    grey = photo(2).convert("L")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save("deep.png")
    clear = Image.new("RGBA", grey.size, (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), mask=Image.eval(grey, lambda value: 255 if value < 130 else 0))
    clear.save("clear.png")
    grey.save("plain.png")
    assert ask("plain.png", "deep.png", "clear.png", "sheet=sheet.png")[0] == 0
    sheet = np.asarray(Image.open("sheet.png").convert("L")).astype(int)
    plain, deep, clear = (sheet[8:83, x : x + 112] for x in (8, 8 + shown.CELL[0], 8 + 2 * shown.CELL[0]))
    assert np.abs(plain - deep).max() < 3
    assert (clear.min(), clear.max()) == (0, 255)


def test_classes_are_called_by_their_names_in_warnings_too(ask, cli, capsys, tmp_path):
    images, labels = bars(60)
    np.savez(tmp_path / "three.npz", images=images, labels=labels % 3)
    call = ["model=gap", "trainer=cpu", "figures=false", "data=arrays", "data.train=three.npz"]
    names = ["cat", "dog", "owl"]
    assert cli(*call, f"data.class_names=[{','.join(names)}]", "debug=one_batch", "hydra.run.dir=run") == 0
    photo(6).save("six.png")
    capsys.readouterr()
    [row] = json.loads(ask("six.png", "run_dir=run", "format=json")[1])
    assert row["probability"] < 0.8
    assert row["warnings"] == [f"it may as well be {row['second']}"]
    assert row["second"] in names


def test_pictures_are_made_as_those_of_the_training_were(ask, cli, capsys, tmp_path):
    write_folders(tmp_path / "pets", 60, (40, 60))
    call = ["model=gap", "trainer=cpu", "figures=false", "data=folder", "data.root=pets"]
    assert cli(*call, "debug=one_batch", "hydra.run.dir=run") == 0
    capsys.readouterr()
    picture = "pets/class_1/001.png"
    code, out, err = ask(picture, "run_dir=run", "format=json")
    assert (code, json.loads(out)[0]["box"]) == (0, [0, 0, 40, 60])
    assert "scaled as a whole" in err
    net = mc.load("run")
    scaled = np.asarray(Image.open(picture).resize((28, 28), Image.Resampling.BILINEAR))
    found = net.read(picture)
    assert found.name == net.class_names[found.digit] == f"class_{found.digit}"
    for given in (picture, np.asarray(Image.open(picture))):
        np.testing.assert_array_equal(net.read(given).image, scaled)
        np.testing.assert_array_equal(
            net.read(given, "mnist").image, prepare_photo(np.asarray(Image.open(picture))).image
        )
    code, out, err = ask(picture, "run_dir=run", "format=json", "prepare=mnist")
    assert json.loads(out)[0]["box"] != [0, 0, 40, 60]
    assert err == ""
    code, _, err = ask(picture, "run_dir=run", "several=true")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "scaled as a whole" in err


@pytest.mark.parametrize(("kind", "placed"), [("folder", True), ("arrays", True), ("folder", False)])
def test_pictures_are_read_as_those_that_came_as_28_x_28(ask, cli, tmp_path, kind, placed):
    """As MNIST's digits where those are placed as MNIST's, else whole."""
    images, labels = bars(60)
    if placed:
        images = np.stack([prepare_photo(np.asarray(photo(label))).image for label in labels])
    np.savez(tmp_path / "train.npz", images=images, labels=labels)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "digits" / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "digits" / str(label) / f"{number}.png")
    call = ["model=gap", "trainer=cpu", "figures=false", f"data={kind}", "debug=one_batch", "hydra.run.dir=run"]
    assert cli(*call, *(["data.root=digits"] if kind == "folder" else [])) == 0
    expected = (
        prepare_photo(np.asarray(photo(7))).image if placed else np.asarray(photo(7).convert("L").resize((28, 28), 2))
    )
    np.testing.assert_array_equal(mc.load("run").read(photo(7)).image, expected)


def test_a_file_of_any_name_is_answered(ask):
    name = os.fsdecode(b"caf\xe9.png")
    photo(7).save(name)
    assert ask(name, "format=csv", "out=answers.csv")[0] == 0
    assert b"caf\xe9.png,1,1,7" in Path("answers.csv").read_bytes()


def test_several_digits_are_read_in_lines(ask, tmp_path):
    lines = [[3, 1, 4, 1], [5, 9, 2], [6, 5, 3, 5]]
    page = np.full((460, 620), 235, np.uint8)
    for i, numbers in enumerate(lines):
        for j, number in enumerate(numbers):
            ink = np.asarray(Image.fromarray(digit(number)).resize((112, 112), Image.Resampling.BICUBIC))
            top, left = 20 + 145 * i + 8 * (j % 2), 20 + 140 * j
            page[top : top + 112, left : left + 112] -= (ink * 0.8).astype(np.uint8)
    Image.fromarray(page).save("page.png")
    code, out, _ = ask("page.png", "several=true")
    assert code == 0
    assert out.splitlines()[:4] == ["page.png:", "  3141", "  592", "  6535"]
    rows = json.loads(ask("page.png", "several=true", "format=json")[1])
    assert [(row["line"], row["place"]) for row in rows[3:6]] == [(1, 4), (2, 1), (2, 2)]


def test_standard_input_is_a_picture(ask, monkeypatch):
    packed = io.BytesIO()
    photo(8).save(packed, "JPEG")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(packed.getvalue())))
    assert ask("-")[1].split()[:3] == ["standard", "input", "8"]


def test_every_kind_of_picture_is_read(ask):
    ink = photo(2)
    grey = ink.convert("L")
    ink.convert("CMYK").save("cmyk.jpg")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save("deep.png")
    clear = Image.new("RGBA", ink.size, (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), mask=Image.eval(grey, lambda value: 255 if value < 130 else 0))
    clear.save("clear.png")
    ink.convert("P").save("palette.gif")
    grey.convert("1").save("bits.tif")
    exif = Image.Exif()
    exif[274] = 8  # lies on its side, and says so
    ink.rotate(-90, expand=True).save("aside.jpg", exif=exif)
    grey.save("moving.webp", save_all=True, append_images=[grey.rotate(180)])
    names = ["cmyk.jpg", "deep.png", "clear.png", "palette.gif", "bits.tif", "aside.jpg", "moving.webp"]
    rows = json.loads(ask(*names, "format=json")[1])
    assert [(row["picture"], row["digit"]) for row in rows] == [(name, "2") for name in names]
    assert rows[-1]["warnings"] == ["the first of 2 frames"]


def test_a_net_reads_in_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = mc.load("gap")
    photo(6).save("six.png")
    for picture in ("six.png", Path("six.png"), photo(6), np.asarray(photo(6)), digit(6)):
        found = net.read(picture)
        assert (found.digit, found.image.shape) == (6, (28, 28))
        assert found.probability > found.second_probability
    with pytest.raises(InputError, match="float64"):
        net.read(np.zeros((5, 5)))
    with pytest.raises(InputError, match="a int"):
        net.read(3)


def pieces() -> dict[str, bytes]:
    """Broken files by name."""
    jpeg, png = io.BytesIO(), io.BytesIO()
    photo(3).save(jpeg, "JPEG")
    photo(3).save(png, "PNG")
    huge = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(huge, "PNG")
    wide = io.BytesIO()
    Image.new("1", (10_001, 5)).save(wide, "PNG")
    many = io.BytesIO()
    Image.new("1", (9_000, 9_000)).save(many, "PNG")
    lab = io.BytesIO()
    Image.new("LAB", (40, 40)).save(lab, "TIFF")
    dot = io.BytesIO()
    Image.new("L", (1, 1)).save(dot, "PNG")
    flipped = bytearray(png.getvalue())
    flipped[60] ^= 255
    return {
        "empty.png": b"", "text.png": b"not a picture", "cut.jpg": jpeg.getvalue()[:900],
        "cut.png": png.getvalue()[:200], "head.png": png.getvalue()[:20], "zeros.jpg": bytes(5000),
        "flipped.png": bytes(flipped), "huge.png": huge.getvalue(), "wide.png": wide.getvalue(),
        "many.png": many.getvalue(), "lab.tif": lab.getvalue(), "dot.png": dot.getvalue(),
        "page.svg": b"<svg></svg>", "book.pdf": b"%PDF-1.4",
    }  # fmt: skip


UNREADABLE = {
    "empty.png": "not a picture", "text.png": "not a picture", "cut.jpg": "not a picture", "cut.png": "not a picture",
    "head.png": "not a picture", "zeros.jpg": "not a picture", "flipped.png": "not a picture",
    "huge.png": "50,000,000 pixels", "wide.png": "10001 x 5 pixels", "many.png": "50,000,000 pixels",
    "lab.tif": "conversion from LAB", "dot.png": "1 x 1 pixels", "page.svg": "not a picture",
    "book.pdf": "not a picture", "gone.png": "no such file",
    "hollow": "without a picture", "no*.png": "no file fits this pattern", "/dev/null": "a device",
    "missing/three.png": "no such file", "three.png/x": "cannot be read", "x" * 300: "cannot be read",
    "": "an empty name", "looped.png": "cannot be read",
}  # fmt: skip
REFUSED = {
    "no picture": ([], "name pictures"),
    "no run": (["run_dir=nowhere"], "nowhere: not a run directory: no such folder\n"),
    "no net": (
        ["run_dir=techer_1"],
        "techer_1: not a run directory: no such folder; did you mean 'teacher_1'?",
    ),
    "a file for a run": (["run_dir=three.png"], "three.png: a file"),
    "no checkpoint": (["checkpoint=gone.ckpt"], "gone.ckpt: no such checkpoint"),
    "a picture for a checkpoint": (["checkpoint=three.png"], "three.png: damaged or not a checkpoint"),
    "a run and a checkpoint": (["run_dir=gap", "checkpoint=x.ckpt"], "either run_dir="),
    "an empty run": (["run_dir="], "run_dir = ''"),
    "a typo": (["fromat=json"], "did you mean 'format'?"),
    "a format": (["format=xml"], "format = 'xml': unknown value"),
    "a switch": (["several=maybe"], "several = 'maybe': must be true or false"),
    "a preparation": (["prepare=mnsit"], "did you mean 'mnist'?"),
    "several, resized": (["several=true", "prepare=resize"], "several = true"),
    "weights": (["weights=first"], "weights = 'first'"),
    "weights that are not there": (["weights=best"], "no such checkpoint"),
    "no folder for the answers": (["out=nowhere/answers.csv"], "no folder nowhere"),
    "a folder for the answers": (["out=hollow"], "hollow: a folder"),
    "answers over a picture": (["out=three.png"], "is there already"),
    "a sheet over a picture": (["sheet=three.png"], "is there already"),
    "a sheet that is no picture": (["sheet=sheet.txt"], "a picture file is needed"),
    "several values": (["format=json,csv"], "one at a time"),
    "a preset": (["experiment=records/any"], "experiment=records/any: is for training"),
    "an option": (["--config-name=x"], "means nothing here"),
}


@pytest.fixture
def folder(tmp_path):
    """With a good picture and an empty folder."""
    (tmp_path / "hollow").mkdir()
    photo(3).save(tmp_path / "three.png")
    return tmp_path


def test_unreadable_pictures_are_named_and_the_others_read(ask, folder):
    for name, content in pieces().items():
        (folder / name).write_bytes(content)
    (folder / "looped.png").symlink_to("looped.png")
    code, out, err = ask("three.png", *UNREADABLE, "three.png")
    assert code == 2
    assert [line.split()[:2] for line in out.splitlines()] == [["three.png", "3"]] * 2
    head, *lines = err.splitlines()
    assert head == f"error: {len(UNREADABLE)} of {len(UNREADABLE) + 2} could not be read:"
    assert len(lines) == len(UNREADABLE)
    for name, words in UNREADABLE.items():
        [line] = [line for line in lines if line.startswith(f"  - {name[:200] or 'an empty name'}") and words in line]
        assert len(line) < 700
    code, _, err = ask("three.png", "out=/proc/answers.csv")
    assert code != 0
    assert len(err.splitlines()) == 1
    assert "/proc/answers.csv" in err
    assert ask("gone.png") == (2, "", "error: gone.png: no such file\n")


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_call_is_one_line_before_anything_is_read(ask, folder, case):
    arguments, words = REFUSED[case]
    before = sorted(folder.iterdir())
    code, out, err = ask(*([] if case == "no picture" else ["three.png"]), *arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert words in err
    assert sorted(folder.iterdir()) == before
