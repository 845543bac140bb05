"""Where browsers and the system keep the authorities that they trust: ours is put there, found there, and taken away."""
