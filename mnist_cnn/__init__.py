"""Small convolutional networks on MNIST: published recipes, honest numbers, one command each.

    import mnist_cnn as mc

    result = mc.fit("model=gap", "trainer.max_epochs=2", seed=3)
    mc.load(result.run.path).predict(images)

The names below are imported when they are first used: `import mnist_cnn` itself costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# Raised by every change that makes the same configuration and seed train differently under `speed=plain`; metrics.json
# names it, and `reproduce` trains again what an older one made. What `speed` does may round otherwise and draw other
# random numbers of the same statistics.
NUMERICS = 1

if TYPE_CHECKING:
    from mnist_cnn.interface import (
        MNISTDataModule as MNISTDataModule,
    )
    from mnist_cnn.interface import (
        check as check,
    )
    from mnist_cnn.interface import (
        compare_runs as compare_runs,
    )
    from mnist_cnn.interface import (
        create_model as create_model,
    )
    from mnist_cnn.interface import (
        evaluate_run as evaluate_run,
    )
    from mnist_cnn.interface import (
        fit as fit,
    )
    from mnist_cnn.interface import (
        fit_many as fit_many,
    )
    from mnist_cnn.interface import (
        list_models as list_models,
    )
    from mnist_cnn.interface import (
        list_runs as list_runs,
    )
    from mnist_cnn.interface import (
        load as load,
    )
    from mnist_cnn.interface import (
        summarize as summarize,
    )

__all__ = [
    "MNISTDataModule",
    "check",
    "compare_runs",
    "create_model",
    "evaluate_run",
    "fit",
    "fit_many",
    "list_models",
    "list_runs",
    "load",
    "summarize",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("mnist_cnn.interface"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
