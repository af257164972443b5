"""The main job, its series and measurements on a Ray cluster: the registered jobs, several at once."""
