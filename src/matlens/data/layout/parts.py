"""Tell by their names which folders are the parts of a divided dataset: train, Testing, seg_test, validation_set ..."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from matlens.data.layout.listing import holds_photos
from matlens.data.layout.walk import Folder

PARTS = ("train", "val", "test")

_WORDS = {
    "train": ("train", "training", "trainings", "trn", "trainval", "entrainement", "apprentissage", "entrenamiento",
              "treino", "treinamento", "addestramento", "allenamento", "trening", "egitim", "训练", "訓練", "学習"),
    "val": ("val", "valid", "validate", "validation", "validations", "validating", "validierung", "validierungs", "dev",
            "eval", "evaluation", "validacion", "validacao", "validazione", "validatie", "walidacja", "dogrulama",
            "验证", "驗證", "検証"),
    "test": ("test", "tests", "testing", "tst", "holdout", "prueba", "pruebas", "teste", "testes", "essai", "prova",
             "testowy", "测试", "測試", "テスト")}
_PART_OF = {word: part for part, words in _WORDS.items() for word in words}

FILLERS = ("set", "sets", "data", "dataset", "datasets", "images", "image", "imgs", "img", "photos", "photo",
           "pictures", "pics", "split", "part", "folder", "files", "samples", "subset", "the", "of", "my", "only",
           "daten", "datensatz", "satz", "bilder", "fotos", "datos", "conjunto", "imagenes", "dados", "imagens",
           "donnees", "jeu", "ensemble", "dati", "immagini", "gegevens", "de", "di", "集", "集合", "数据", "數據",
           "データ")
"""Words that say nothing about what the photos show."""

_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_SILENT = re.compile(r"[\u0300-\u036f]|\b[dl]['\u2019](?=\w)")
"""Accents, and the articles of d'entrainement and l'addestramento."""

_GLUED = re.compile(rf"({'|'.join(sorted(_PART_OF, key=len, reverse=True))})({'|'.join(FILLERS)})")


class _Name(NamedTuple):
    """What a folder's name says. about: its words that are neither that of the part nor fillers."""

    part: str
    about: tuple[str, ...]


def _read(name: str) -> _Name | None:
    """Return the part that a name speaks of, or None if it speaks of none, or of several."""
    words = words_of(name)
    parts = {_PART_OF[word] for word in words if word in _PART_OF}
    if len(parts) != 1 and parts != {"train", "val"}:
        return None
    about = tuple(word for word in words if word not in _PART_OF and word not in FILLERS)
    return _Name("train" if "train" in parts else parts.pop(), about)


def words_of(name: str) -> list[str]:
    """Return the words of a folder's name in lower case and without accents: those of `trainingSet` are two."""
    plain = _SILENT.sub("", unicodedata.normalize("NFKD", name))
    return [piece for word in _TOKEN.findall(unicodedata.normalize("NFC", plain)) for piece in _pieces(word.lower())]


def part_named(name: str, loosely: bool = False) -> bool:
    """Return whether a name is that of a part and says nothing else; `loosely`, also with letters as in `train_a`."""
    read = _read(name)
    return read is not None and (not read.about or (loosely and all(len(word) == 1 for word in read.about)))


def _pieces(word: str) -> tuple[str, ...]:
    """Return a word, or of one like `testset` its two words."""
    glued = None if word in _PART_OF else _GLUED.fullmatch(word)
    return glued.groups() if glued else (word,)


def parts_among(folders: Sequence[Folder]) -> dict[Folder, str]:
    """Return the part of each folder that is one, by the names of all of them and of their subfolders.

    Folders are parts if their names speak of two parts and otherwise of the same (seg_train beside seg_test), or if one
    alone (train) holds class folders and one other folder of photos lies beside it. Classes such as `test tube` and
    `train station` are none.
    """
    families: dict[tuple[str, ...], dict[Folder, str]] = defaultdict(dict)
    for folder in folders:
        if (name := _read(folder.name)) is not None:
            families[name.about][folder] = name.part
    divided = [family for family in families.values() if len(set(family.values())) > 1]
    if divided:
        return {folder: part for family in divided for folder, part in family.items()}
    alone = families.get((), {})
    if alone and len(folders) - len(alone) <= 1 and all(_holds_folders_only(folder) for folder in alone):
        return alone if len(alone) > 1 or any(holds_photos(folder) for folder in folders if folder not in alone) else {}
    return {}


def _holds_folders_only(folder: Folder) -> bool:
    return len(folder.content.folders) > 1 and not folder.content.photos
