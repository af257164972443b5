"""Values of photos in shards: at most 4,096 photos each, named by their content, computed and rebuilt one by one."""
