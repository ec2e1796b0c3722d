"""What is private, patched or process-wide of Keras, TensorFlow, KFP and Python: each with why."""
