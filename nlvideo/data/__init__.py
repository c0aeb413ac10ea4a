"""From a list of videos to batches of clips. Import from the modules: `nlvideo.data.visitors` needs no torch."""
