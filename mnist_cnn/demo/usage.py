"""What `python -m mnist_cnn.demo --help` prints, in a file that imports nothing."""

USAGE = """\
Opens a page to draw digits on, with a trained net inside; nothing leaves it.

  python -m mnist_cnn.demo                      the net of the package
  python -m mnist_cnn.demo run_dir=runs/gap/... one of your own
  python -m mnist_cnn.demo checkpoint=best.ckpt

  weights=best|last   of a run directory; by default those that it tested
  out=draw.html       where the page goes: a file that can be kept and shared
  open=false          writes the page alone

The net of the package is gap. To export a page with its measurement:
python -m mnist_cnn.export format=web."""
