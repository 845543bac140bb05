"""Crossing NATs: from what two networks are like to a direct path between them."""
