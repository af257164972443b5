"""From files to pixels: decoding, reading, the pixel store, augmentation, thumbnails."""
