"""What two endpoints tell each other through a beacon that may neither read nor change it."""
