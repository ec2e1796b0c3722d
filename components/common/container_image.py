"""The images in which the steps run on a cluster; `images/build` builds them."""

CPU_IMAGE = "lesionflow:0.1.0-cpu"
GPU_IMAGE = "lesionflow:0.1.0-gpu"
