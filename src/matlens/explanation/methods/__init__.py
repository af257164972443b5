"""The explanation methods that matlens brings: each file declares and registers one."""
