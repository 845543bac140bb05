"""One room for each way to make a direct path."""
