"""Small convolutional networks on MNIST: published recipes, honest numbers, one command each."""

__version__ = "0.1.0"

# Raised by every change that makes the same configuration and seed train differently; metrics.json names it, and
# `reproduce` trains again what an older one made.
NUMERICS = 1
