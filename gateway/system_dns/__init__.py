"""Names under `.overlay` for every program: the system's own resolver is told to ask our DNS server for these, and nothing else.

`Manager` is one resolver that this machine may have, with a room for each kind. It says what files and commands it needs; they are
written, checked, loaded, verified and undone in one way for all, in `installing`. No room touches resolv.conf.
"""
