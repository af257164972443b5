"""From folders of photographs to batches: sources, integrity, splits, the pixel store, augmentation."""
