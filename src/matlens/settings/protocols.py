"""The names of protocols, which say how photos are divided; `data.split.protocols` says what each does."""

import re

PATTERN = r"minc:(\d+|all)|random|grouped|prepared|kfold:\d+(:\d+)?"
WORDS = "minc:1 ... minc:5, minc:all, random, grouped, kfold:5, kfold:5:1 ... kfold:5:5 or prepared"


def is_series(protocol: str | None) -> bool:
    """Return whether a protocol stands for several splits, and so for several runs."""
    return protocol == "minc:all" or re.fullmatch(r"kfold:\d+", protocol or "") is not None


def draws(protocol: str) -> bool:
    """Return whether a protocol divides the photos itself, by a seed."""
    return protocol in ("random", "grouped") or protocol.startswith("kfold:")
