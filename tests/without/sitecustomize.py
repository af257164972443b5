"""A Python that does not find the packages that WITHOUT names, as where they are not installed.

This folder stands in PYTHONPATH.
"""

import os
import sys
from importlib.machinery import PathFinder

WITHOUT = os.environ.get("WITHOUT", "").split(",")


class Without:
    """Finds modules as Python does, but none of these packages."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in WITHOUT else PathFinder.find_spec(name, path, target)

    find_distributions = staticmethod(PathFinder.find_distributions)
    invalidate_caches = staticmethod(PathFinder.invalidate_caches)


sys.meta_path[sys.meta_path.index(PathFinder)] = Without
