"""Put several models that saw the same test photos side by side."""
