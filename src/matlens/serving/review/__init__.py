"""The page on which people look at suspicious labels and photos, and decide. Photos are shown, and never changed."""
