"""What goes on inside a run: its Trainer, and what is measured when training is over."""
