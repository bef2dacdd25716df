"""Where the images come from, how they are split and batched, and how they are augmented."""
