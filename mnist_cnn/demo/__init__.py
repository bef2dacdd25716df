"""A page to draw digits on, in the browser, with the net of the package or any other."""
