"""From a source of images to decoded pixels in memory."""
