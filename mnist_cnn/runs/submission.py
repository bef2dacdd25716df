"""submission.csv: predicted classes of test images that have no labels, as Kaggle takes them."""

import csv
import io
from pathlib import Path

import pytorch_lightning as pl
import torch

from mnist_cnn.config.build import DataModule
from mnist_cnn.data.own import OwnDataModule
from mnist_cnn.files import write_atomically

AT_ONCE = 1000


def write_submission(folder: Path, model: pl.LightningModule, data: DataModule) -> Path:
    """A line per test image, in order: its number or file name, and the name of the class that was predicted."""
    assert isinstance(data, OwnDataModule)  # no other has test images without labels
    data.setup("test")
    model.eval()
    images = data.splits["test"].images
    with torch.inference_mode():
        scaled = (part.to(model.device).float() / data.divide_by for part in images.split(AT_ONCE))
        classes = torch.cat([model(part).argmax(1).cpu() for part in scaled]).tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["ImageId", "Label"])
    writer.writerows((name, data.class_names[c]) for name, c in zip(data.image_names(), classes, strict=True))
    file = folder / "submission.csv"
    write_atomically(file, text.getvalue().encode())
    return file
