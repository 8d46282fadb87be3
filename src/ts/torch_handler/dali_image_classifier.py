"""Says why there is no DALI handler."""

raise ImportError(
    "stoker has no dali_image_classifier: NVIDIA DALI is not supported. Use image_classifier, "
    "which decodes on the CPU, or a handler of your own around nvidia.dali."
)
