"""The LightningModules and the layer lists they are built from."""
