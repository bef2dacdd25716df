"""What makes training faster; kept out of the nets themselves."""
