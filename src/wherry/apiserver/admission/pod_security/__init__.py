"""PodSecurity: the Pod Security Standards (privileged, baseline, restricted), as labels of a namespace choose them."""
