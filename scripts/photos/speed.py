"""How long `predict` takes for 1,000 JPEGs of 500 x 500 pixels, and for one, its start included.

python scripts/photos/speed.py
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from photographs import LEVELS, photograph
from PIL import Image

COUNT, DIFFERENT, SIDE = 1000, 20, 500
BAR = np.zeros((28, 28), np.uint8)
BAR[4:24, 12:15], BAR[4:7, 12:20] = 255, 255


def main() -> None:
    conditions = replace(LEVELS["medium"], side=(SIDE, SIDE))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(DIFFERENT):
            pixels = photograph(BAR, conditions, np.random.default_rng(number)).pixels
            picture = Image.fromarray(pixels).resize((SIDE, SIDE))
            for copy in range(COUNT // DIFFERENT):
                picture.save(folder / f"{number}_{copy}.jpg", quality=90)
        for pictures, words in ((folder / "0_0.jpg", "one picture"), (folder, f"{COUNT:,} pictures")):
            began = time.monotonic()
            command = [sys.executable, "-m", "mnist_cnn.predict", str(pictures), "format=csv"]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            print(f"{words}: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
