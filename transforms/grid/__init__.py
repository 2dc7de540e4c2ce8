"""From one grid to another: fitting images to a network, masks to images, boxes to masks."""
