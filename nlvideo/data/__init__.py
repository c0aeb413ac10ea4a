"""From a list of videos to batches of clips. Import from the modules: `nlvideo.visitors.dataset` needs no torch."""
