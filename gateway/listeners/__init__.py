"""Real TCP and UDP listeners on loopback addresses, one for each port of each service of others that we use."""
