"""What is matlens' own on the disk, told by content and never by a name alone: locks, temporary folders, ways out."""
