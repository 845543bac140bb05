"""For programs: streams, datagrams, services of their own and forwarded ports, over the control socket."""
