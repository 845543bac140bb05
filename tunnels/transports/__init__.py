"""The only rooms of tunnels that touch a socket."""
