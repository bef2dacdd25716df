"""Digits on pictures from outside, read by a trained net."""
