"""Ways to spoil a photo: each file declares and registers some that belong together."""
