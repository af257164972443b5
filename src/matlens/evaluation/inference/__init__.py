"""How sure a figure is, and which differences are real: of photos, of groups, of seeds, of folds."""
