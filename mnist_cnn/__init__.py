"""Small convolutional networks on MNIST: published recipes, honest numbers, one command each."""

__version__ = "0.1.0"

# Raised by every change that makes the same configuration and seed train differently under `speed=plain`; metrics.json
# names it, and `reproduce` trains again what an older one made. What `speed` does may round otherwise and draw other
# random numbers of the same statistics.
NUMERICS = 1
