"""Photos that lie elsewhere: in object stores, on web servers, in manifests and in tar shards, brought here."""
