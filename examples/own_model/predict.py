"""Predicts with a trained run: python predict.py RUN"""

import sys

import numpy as np

import mnist_cnn as mc

net = mc.load(sys.argv[1])  # the run's folder and residual.py are all it needs
images = np.zeros((2, 28, 28), dtype=np.uint8)
images[0, 4:24, 13:16] = 255  # an upright stroke
print(net.predict(images))
