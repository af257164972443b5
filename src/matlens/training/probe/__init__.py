"""The recipe `probe`: what is fitted on the features of a frozen trunk at once, without epochs."""
