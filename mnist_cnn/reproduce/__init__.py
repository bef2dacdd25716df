"""The documents' experiments: what they report, what our runs say, and the pages that hold one against the other."""
