"""Jobs that are parts of the main job: each file registers the job that has its name. A node of a cluster does them."""
