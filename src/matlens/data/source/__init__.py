"""Get photos: from folders, downloads and published datasets."""
