"""Training and testing nnU-Net v2 on real, synthetic and mixed breast MRI (Osuala et al. 2024, downstream task)."""
