"""The book of records: the best honest accuracy at every size."""
