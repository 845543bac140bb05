"""The ways that work, and which one we use."""
