"""From files to pixels: decoding, the pixel store, augmentation."""
