"""The errors of the resolver."""

import inspect

from resolver import errors


def test_every_error_is_a_resolver_error_and_stands_in_the_tree_of_the_docstring() -> None:
    tree = errors.__doc__ or ""
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(kind, errors.ResolverError)
        assert f" {name} " in tree or f" {name}\n" in tree
