"""Small convolutional networks on MNIST: published recipes, honest numbers, one command each."""

__version__ = "0.1.0"
