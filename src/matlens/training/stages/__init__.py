"""The stages of which a training is made: each file registers one."""
