"""A Python that finds no TensorFlow, as where it is not installed: this folder stands in PYTHONPATH."""

import sys
from importlib.machinery import PathFinder


class WithoutTensorFlow:
    """Finds modules as Python does, but none of TensorFlow."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] == "tensorflow" else PathFinder.find_spec(name, path, target)

    find_distributions = staticmethod(PathFinder.find_distributions)
    invalidate_caches = staticmethod(PathFinder.invalidate_caches)


sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTensorFlow
