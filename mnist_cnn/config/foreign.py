"""What classes of PyTorch and Lightning do not say themselves: ranges of arguments, and what cannot work here."""

from typing import Any, Literal

import pytorch_lightning as pl
import torch

from mnist_cnn.values import Count, NotNegative, NotNegativeInt, Positive, Share

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
# What other people's signatures do not say and their classes do not refuse in a line; all else is theirs to judge.
RANGES: dict[type, dict[str, Any]] = {
    torch.optim.Optimizer: {
        "lr": Positive,
        "weight_decay": NotNegative,
        "momentum": Share,
        "alpha": Share,
        "eps": Positive | list | None,  # Adafactor has two
    },
    torch.optim.Adam: {"betas": tuple[Share, Share]},
    torch.optim.lr_scheduler.LRScheduler: {"step_size": Count, "gamma": Positive},
    pl.callbacks.EarlyStopping: {"patience": Count, "min_delta": NotNegative},
    pl.callbacks.EMAWeightAveraging: {
        "decay": Share,
        "update_every_n_steps": Count,
        "update_starting_at_step": NotNegativeInt | None,
    },
    pl.Trainer: {
        "precision": Precision,
        "max_epochs": Count,
        "min_epochs": NotNegativeInt | None,
        "min_steps": NotNegativeInt | None,
        "max_steps": Count | Literal[-1],
        "log_every_n_steps": NotNegativeInt,
        "num_sanity_val_steps": NotNegativeInt | Literal[-1],
        "gradient_clip_val": Positive | None,
        "accumulate_grad_batches": Count,
        "check_val_every_n_epoch": Count,
        "limit_train_batches": Positive | None,
        "limit_val_batches": Positive | None,
        "limit_test_batches": Positive | None,
    },
}

_BASE = "a base class; name one of its subclasses"
_SEARCH = "changes a setting behind the run's record; try values of it in a sweep instead (-m {})"
UNUSABLE = {
    "torch.optim.Optimizer": _BASE,
    "torch.optim.SparseAdam": "needs sparse gradients, and those of these nets are dense; use torch.optim.Adam",
    "torch.optim.lr_scheduler.LRScheduler": _BASE,
    "pytorch_lightning.callbacks.BaseFinetuning": _BASE,
    "pytorch_lightning.callbacks.BasePredictionWriter": "is for Trainer.predict, which no run calls",
    "pytorch_lightning.callbacks.BatchSizeFinder": _SEARCH.format("data.batch_size=64,128,256"),
    "pytorch_lightning.callbacks.LearningRateFinder": _SEARCH.format("sweep=lr"),
    "pytorch_lightning.callbacks.ModelPruning": "a resumed run would prune anew what it has saved as pruned",
    "pytorch_lightning.callbacks.OnExceptionCheckpoint": (
        "saves in mid-epoch, where no run can resume; last.ckpt has the newest complete epoch anyway"
    ),
    "pytorch_lightning.callbacks.ProgressBar": "every run has a progress bar of its own",
    "pytorch_lightning.callbacks.RichProgressBar": "every run has a progress bar of its own",
    "pytorch_lightning.callbacks.TQDMProgressBar": "every run has a progress bar of its own",
    "pytorch_lightning.callbacks.SpikeDetection": "fails in Lightning 2.6 itself when a run resumes",
    "pytorch_lightning.callbacks.StochasticWeightAveraging": (
        "averages after the last checkpoint is saved, so no test would see it; use mnist_cnn.optim.EpochAveraging "
        "(callbacks=[checkpoint,swa])"
    ),
}


def why_not(target: Any) -> str | None:
    """The reason; None for all else, subclasses included."""
    module, name = getattr(target, "__module__", ""), getattr(target, "__qualname__", "")
    for path, reason in UNUSABLE.items():
        package, _, last = path.rpartition(".")
        if name == last and str(module).startswith(package):
            return reason
    return None
