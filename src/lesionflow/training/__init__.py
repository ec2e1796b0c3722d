"""One fine-tune step: batches, augmentation, losses, epochs, checkpoints."""
