"""Material maps: which material is where in a photo. Artifacts alone are used, and no framework."""
