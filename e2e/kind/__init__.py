"""The product on real kind clusters: image, kubelet, pod security, all as a user meets them."""
