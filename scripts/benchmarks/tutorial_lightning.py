"""The net trained as Lightning's tutorials do it: the baseline that most people start from."""

import json
import sys
import time
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms
from torchvision.datasets import MNIST


class Net(pl.LightningModule):
    def __init__(self, layers, optimizer):
        super().__init__()
        self.net = nn.Sequential(*(getattr(nn, kind)(**arguments) for kind, arguments in layers))
        self.optimizer = optimizer
        self.train_accuracy = MulticlassAccuracy(10, average="micro")
        self.val_accuracy = MulticlassAccuracy(10, average="micro")
        self.test_accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch, batch_idx):
        return self._step(batch, "train", self.train_accuracy)

    def validation_step(self, batch, batch_idx):
        self._step(batch, "val", self.val_accuracy)

    def test_step(self, batch, batch_idx):
        self._step(batch, "test", self.test_accuracy)

    def _step(self, batch, split, accuracy):
        images, labels = batch
        logits = self.net(images)
        loss = F.cross_entropy(logits, labels)
        accuracy(logits, labels)
        self.log(f"{split}_loss", loss, prog_bar=True)
        self.log(f"{split}_acc", accuracy, prog_bar=True, on_epoch=True)
        return loss

    def configure_optimizers(self):
        name, arguments = self.optimizer
        return getattr(torch.optim, name)(self.parameters(), **arguments)


class Clock(pl.Callback):
    def __init__(self):
        self.first_step, self.epochs = None, []

    def on_train_epoch_start(self, trainer, pl_module):
        self.began = time.perf_counter()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.first_step = self.first_step or time.time()
        if trainer.is_last_batch:  # validation, which follows inside the epoch, is not counted
            self.epochs.append(time.perf_counter() - self.began)


def main():
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    pl.seed_everything(job["seed"])
    everything = MNIST(job["root"], train=True, transform=transforms.ToTensor())
    train = Subset(everything, range(job["images"]))
    val = Subset(everything, range(55_000, 60_000))
    test = MNIST(job["root"], train=False, transform=transforms.ToTensor())
    clock = Clock()
    trainer = pl.Trainer(
        max_epochs=job["epochs"], accelerator="cpu", default_root_dir=str(Path.cwd()), callbacks=[clock]
    )
    net, batch = Net(job["layers"], job["optimizer"]), job["batch_size"]
    trainer.fit(net, DataLoader(train, batch_size=batch, shuffle=True), DataLoader(val, batch_size=batch))
    trainer.test(net, DataLoader(test, batch_size=batch))
    print("\n" + json.dumps({"first_step": clock.first_step, "epochs": clock.epochs}))


if __name__ == "__main__":
    main()
