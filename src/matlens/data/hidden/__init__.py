"""Find photos of one object or scene that neither a list of groups nor their bytes show to belong together."""
