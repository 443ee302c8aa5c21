import pytest

LAST = "test_nothing_leaks.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The search for leaks comes last: it looks into what all the others have left."""
    items.sort(key=lambda item: item.path.name == LAST)
