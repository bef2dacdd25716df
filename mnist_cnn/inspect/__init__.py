"""What is inside a trained net."""
