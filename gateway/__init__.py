"""What a person runs and touches: the daemon, its proxy, listeners and command line."""

__version__ = "0.1.0"
