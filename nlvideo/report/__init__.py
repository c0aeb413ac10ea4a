"""One page that shows a run, two runs or a sweep, from the files in their folders alone."""
