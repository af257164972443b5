"""The jobs of matlens: each file registers the job that has its name. Heavy packages are imported inside the jobs."""
