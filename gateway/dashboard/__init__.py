"""What a browser on this machine is served: the PAC file."""
