"""Recognise how a folder of photos is laid out, and list what it holds."""
