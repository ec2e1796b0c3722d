"""What is private, patched or process-wide of Keras, TensorFlow and KFP."""
