"""Headroom: memory, descriptors and disk, as far as this process may use them, and what is done before they end.

`state` judges, `allowance` finds out how much memory there may be, `watcher` measures and tells. While something is short, new
connections are refused with a reply that says so, caches shrink, and what is saved waits; nothing that works is ended.
"""
