"""What is between us and the world."""
