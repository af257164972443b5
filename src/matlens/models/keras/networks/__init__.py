"""The networks that are built in Keras: one of matlens' own, and those of keras.applications as backbones."""
