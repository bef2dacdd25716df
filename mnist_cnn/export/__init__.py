"""A trained net taken elsewhere: ONNX, torch.export, C for a chip, a page to draw on."""
