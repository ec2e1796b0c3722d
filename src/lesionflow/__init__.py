"""A Kubeflow pipeline that turns dermatoscopic images into a skin-lesion classifier that passed an honest gate."""
