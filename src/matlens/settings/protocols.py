"""The names of protocols, which say how photos are divided; `data.split.protocols` says what each does."""

PATTERN = r"minc:(\d+|all)|random|grouped|prepared|kfold:\d+(:\d+)?"
WORDS = "minc:1 ... minc:5, minc:all, random, grouped, kfold:5, kfold:5:1 ... kfold:5:5 or prepared"
