"""Features in fewer bits: which processors have the instructions, which photos they are for, and what they cost."""
