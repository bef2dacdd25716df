"""Searches for good values with Optuna."""
