"""The network: its backbones, weights, and the finished classifier."""
