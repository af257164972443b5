"""What a model does not know: photos unlike its training photos, and the classes that a photo may well be of."""
